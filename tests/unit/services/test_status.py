"""The table of errors: every error of the tree has a code, and its reason is one of the contract's."""

from collections.abc import Iterator

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from mailsync_grpc import errors
from mailsync_grpc.errors import MailsyncError
from mailsync_grpc.services.status import MAX_STATUS_BYTES, failure
from mailsync_grpc.v1.errors_pb2 import ErrorReason

# These stop the server before it serves; no call can end by them.
BEFORE_SERVING = {errors.ConfigError, errors.StoreLockedError, errors.StoreSchemaError}


def tree(root: type[MailsyncError] = MailsyncError) -> Iterator[type[MailsyncError]]:
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from tree(kind)


def made(kind: type[MailsyncError]) -> MailsyncError:
    if issubclass(kind, errors.RevisionCompactedError):
        return kind(5, 9)
    if issubclass(kind, errors.InvalidFieldError):
        return kind({"name": "something else"})
    if issubclass(kind, errors.BudgetSpentError | errors.RateExceededError):
        return kind("as much as a day allows", 7.5)
    return kind("accounts/x")


RAISED = sorted(set(tree()) - BEFORE_SERVING - {errors.ImapError}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_and_a_reason_of_the_contract(kind: type[MailsyncError]) -> None:
    found = failure(made(kind))
    assert found.code not in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.OK}
    status = Status.FromString(found.details)
    info = ErrorInfo()
    status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("mailsync", kind.reason)
    assert f"ERROR_REASON_{kind.reason}" in ErrorReason.DESCRIPTOR.values_by_name
    assert status.code == found.code.value[0]
    assert status.message == found.message


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.__name__)
def test_what_passes_by_waiting_says_how_long(kind: type[MailsyncError]) -> None:
    found = failure(made(kind))
    waits = found.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
    status = Status.FromString(found.details)
    assert any(each.Is(RetryInfo.DESCRIPTOR) for each in status.details) is waits


def test_a_spent_budget_says_when_it_is_filled_again() -> None:
    retry = RetryInfo()
    Status.FromString(failure(errors.BudgetSpentError("spent", 4_321.5)).details).details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 4_322


def test_an_unknown_exception_tells_nothing_of_itself() -> None:
    found = failure(RuntimeError("hunter2"))
    assert found.code is grpc.StatusCode.INTERNAL
    assert "hunter2" not in found.message
    assert b"hunter2" not in found.details


def test_an_error_without_a_message_says_what_its_class_says() -> None:
    assert failure(errors.EtagMismatchError()).message.startswith("The resource changed since it was read")


@pytest.mark.parametrize("fields", [1, 10, 10_000])
def test_the_status_stays_small_and_keeps_the_first_violations(fields: int) -> None:
    found = failure(errors.InvalidFieldError({f"field{number}": "ä" * 200 for number in range(fields)}))
    assert len(found.details) <= MAX_STATUS_BYTES
    request = BadRequest()
    Status.FromString(found.details).details[1].Unpack(request)
    assert request.field_violations[0].field == "field0"
