"""Failures as people see them: one line ``reason: message``, then the fields at fault, and exit status 1.

The service says what went wrong in google.rpc.Status: ErrorInfo has the reason, BadRequest the fields (AIP-193). A status
without those comes from gRPC itself, and is named by its code. Nothing here ever shows a traceback for what a caller,
a mail server or a network did.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import grpc
import typer
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from mailsync_grpc.cli.terminal import plain, to_people_beside


class CommandError(Exception):
    """What a command itself refuses or finds wrong; its message says what to do."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call: a reason of the contract or a gRPC code, a message, and (field, what is allowed) pairs.

    ``metadata`` is what the reason is about, such as ``floor`` and ``head`` of REVISION_COMPACTED.
    """

    reason: str
    message: str
    fields: tuple[tuple[str, str], ...] = ()
    retry_after: timedelta | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The lines to print, not yet made safe for a terminal."""
        # A message of INVALID_FIELD repeats the fields; said once is enough.
        first = f"{self.reason}: {'wrong or missing fields' if self.fields else self.message}"
        return [first, *(f"  {field}: {text}" for field, text in self.fields)]


def failure_of(error: grpc.RpcError) -> Failure:
    """What a failed call says, with as much detail as its status carries."""
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in _details(error):
        for known in (info, request, retry):
            detail.Unpack(known)
    return Failure(
        reason=info.reason or error.code().name,
        message=error.details() or "",
        fields=tuple((violation.field, violation.description) for violation in request.field_violations),
        retry_after=retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None,
        metadata=dict(info.metadata),
    )


@contextmanager
def reported(address: str) -> Iterator[None]:
    """Turn whatever a command may meet into a message on standard error and exit status 1."""
    try:
        yield
    except CommandError as error:
        _complain(str(error).splitlines())
    except grpc.RpcError as error:
        _complain(_explain(failure_of(error), address).lines())
    except UnicodeEncodeError as error:
        _complain([f"not UTF-8 and so in no request: {error.object}"])
    except BrokenPipeError:
        # Whoever reads the output has seen enough; click ends quietly for it.
        raise
    except OSError as error:
        _complain([f"{error.filename}: {error.strerror}" if error.filename else str(error)])


def _complain(lines: list[str]) -> None:
    console = to_people_beside()
    for line in lines:
        console.print(plain(line), soft_wrap=True)
    raise typer.Exit(1)


def _explain(failure: Failure, address: str) -> Failure:
    # A reason of the service is plain; the code alone means that no mailsync answered.
    if failure.reason != grpc.StatusCode.UNAVAILABLE.name:
        return failure
    hint = (
        f"no mailsync service answers at {address}; start one with `mailsync serve`, name another with --address,"
        " or, where it serves TLS, what to trust with --tls-ca"
    )
    return Failure(failure.reason, f"{hint} ({failure.message})")


def _details(error: grpc.RpcError) -> list[Any]:
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        # The details do not match the status: not the service's own (a proxy's, say), so the status alone counts.
        return []
    return list(status.details) if status is not None else []
