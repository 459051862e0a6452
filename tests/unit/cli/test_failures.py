"""What a failed call looks like to people."""

import grpc
import pytest
import typer
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError, Metadata

from mailsync_grpc.cli.failures import CommandError, failure_of, reported

DETAILS = "grpc-status-details-bin"


def failed(code: grpc.StatusCode, message: str, *details: Message) -> AioRpcError:
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    trailing = Metadata((DETAILS, status.SerializeToString())) if details else Metadata()
    return AioRpcError(code, Metadata(), trailing, message)


def test_the_reason_of_the_contract_stands_before_the_message() -> None:
    info = error_details_pb2.ErrorInfo(reason="ACCOUNT_NOT_FOUND", domain="mailsync")
    failure = failure_of(failed(grpc.StatusCode.NOT_FOUND, "account not found: accounts/x", info))
    assert failure.lines() == ["ACCOUNT_NOT_FOUND: account not found: accounts/x"]


def test_each_wrong_field_has_a_line_of_its_own() -> None:
    info = error_details_pb2.ErrorInfo(reason="INVALID_FIELD", domain="mailsync")
    request = error_details_pb2.BadRequest()
    request.field_violations.add(field="account.imap.host", description="required")
    request.field_violations.add(field="account.imap.port", description="0 to 65535")
    failure = failure_of(failed(grpc.StatusCode.INVALID_ARGUMENT, "two fields", info, request))
    assert failure.lines() == [
        "INVALID_FIELD: wrong or missing fields",
        "  account.imap.host: required",
        "  account.imap.port: 0 to 65535",
    ]


def test_the_pause_the_server_asks_for_is_kept() -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromSeconds(7)
    failure = failure_of(failed(grpc.StatusCode.UNAVAILABLE, "stopping", retry))
    assert failure.retry_after is not None
    assert failure.retry_after.total_seconds() == 7


def test_a_status_without_details_is_named_by_its_code() -> None:
    assert failure_of(failed(grpc.StatusCode.INTERNAL, "oops")).lines() == ["INTERNAL: oops"]


def test_details_that_belong_to_another_status_are_not_believed() -> None:
    other = status_pb2.Status(code=5, message="another")
    error = AioRpcError(
        grpc.StatusCode.INTERNAL, Metadata(), Metadata((DETAILS, other.SerializeToString())), "oops"
    )
    assert failure_of(error).reason == "INTERNAL"


def test_a_failure_is_printed_safely_and_ends_with_exit_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, reported("127.0.0.1:1"):
        raise CommandError("no folder \x1b[2J[bold]x[/bold]")
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == "no folder \\x1b[2J[bold]x[/bold]\n"


def test_a_service_that_is_not_there_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), reported("127.0.0.1:1"):
        raise failed(grpc.StatusCode.UNAVAILABLE, "connection refused")
    assert "no mailsync service answers at 127.0.0.1:1" in capsys.readouterr().err


def test_an_unreadable_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), reported("127.0.0.1:1"):
        raise FileNotFoundError(2, "No such file or directory", "ca.pem")
    assert capsys.readouterr().err == "ca.pem: No such file or directory\n"
