"""The one table from the error tree to gRPC: code, `google.rpc.Status` and its details (AIP-193).

Every failed call carries ErrorInfo (domain `mailsync`, reason of the class) in `grpc-status-details-bin`. Metadata of a
call is bounded by HTTP/2 peers (8 KiB by default, base64 for binary values), and what passes the bound reaches the
caller as RESOURCE_EXHAUSTED instead of the error; so message and details together stay under 3 KiB.
"""

import math
from collections.abc import Mapping
from itertools import islice
from typing import Final, NamedTuple, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

from mailsync_grpc import errors
from mailsync_grpc.errors import MailsyncError

DOMAIN: Final = "mailsync"
DETAILS_KEY: Final = "grpc-status-details-bin"
MAX_STATUS_BYTES: Final = 3_072
_MAX_MESSAGE: Final = 512
_MAX_VIOLATIONS: Final = 64

_CODES: Final[dict[type[MailsyncError], grpc.StatusCode]] = {
    errors.InvalidFieldError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.PageTokenInvalidError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ResumeTokenInvalidError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.FilterMismatchError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.RequestIdReusedError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.EndpointForbiddenError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnsafeArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.AuthorizationNotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.AccountExistsError: grpc.StatusCode.ALREADY_EXISTS,
    errors.EtagMismatchError: grpc.StatusCode.ABORTED,
    errors.UidValidityChangedError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.CredentialsNeededError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AccountPausedError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ContentChangedError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.FolderNotSelectableError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ImapTlsError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ImapAuthError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ImapRefusedError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ImapProtocolError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.RevisionCompactedError: grpc.StatusCode.OUT_OF_RANGE,
    errors.RevisionInFutureError: grpc.StatusCode.OUT_OF_RANGE,
    errors.StoreEpochChangedError: grpc.StatusCode.OUT_OF_RANGE,
    errors.QuotaExceededError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.WatchLimitError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.SnapshotLimitError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.SlowConsumerError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.StoreFullError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ServerDrainingError: grpc.StatusCode.UNAVAILABLE,
    errors.ImapUnreachableError: grpc.StatusCode.UNAVAILABLE,
    errors.ImapThrottledError: grpc.StatusCode.UNAVAILABLE,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.StoreCorruptError: grpc.StatusCode.DATA_LOSS,
    errors.NotImplementedYetError: grpc.StatusCode.UNIMPLEMENTED,
}

RETRY_SECONDS: Final[dict[type[MailsyncError], int]] = {
    errors.QuotaExceededError: 5,
    errors.WatchLimitError: 5,
    errors.SnapshotLimitError: 5,
    errors.SlowConsumerError: 1,
    errors.StoreFullError: 60,
    errors.ServerDrainingError: 1,
    errors.ImapUnreachableError: 30,
    errors.ImapThrottledError: 60,
}


T = TypeVar("T")


class Failure(NamedTuple):
    """How a call ends: its code, its message and the serialized `google.rpc.Status`."""

    code: grpc.StatusCode
    message: str
    details: bytes


def failure(error: Exception) -> Failure:
    """Return how `error` ends a call; what is not of the tree is INTERNAL and says nothing of itself."""
    code = _lookup(_CODES, error)
    if code is None or not isinstance(error, MailsyncError):
        return _assemble(
            grpc.StatusCode.INTERNAL, "a fault of this server; its log has the cause", "INTERNAL", []
        )
    message = str(error) or " ".join((type(error).__doc__ or "").split())
    return _assemble(code, message, error.reason, _details(error), _metadata(error))


def _lookup(table: Mapping[type[MailsyncError], T], error: Exception) -> T | None:
    return next((table[kind] for kind in type(error).__mro__ if kind in table), None)


def _metadata(error: MailsyncError) -> dict[str, str]:
    if isinstance(error, errors.RevisionCompactedError):
        return {"floor": str(error.floor), "head": str(error.head)}
    return {}


def _details(error: MailsyncError) -> list[Message]:
    """Return the details besides ErrorInfo."""
    details: list[Message] = []
    if isinstance(error, errors.InvalidFieldError):
        details.append(
            BadRequest(
                field_violations=[
                    BadRequest.FieldViolation(field=field, description=text[:_MAX_MESSAGE])
                    for field, text in islice(error.violations.items(), _MAX_VIOLATIONS)
                ]
            )
        )
    if isinstance(error, errors.NotFoundError):
        details.append(ResourceInfo(resource_type=error.what, resource_name=error.name[:_MAX_MESSAGE]))
    if isinstance(error, errors.AccountExistsError):
        details.append(ResourceInfo(resource_type="account", resource_name=error.name))
    retry = _lookup(RETRY_SECONDS, error)
    if isinstance(error, errors.BudgetSpentError | errors.RateExceededError):
        retry = math.ceil(error.retry_after)
    if retry is not None and not isinstance(error, errors.ImapTlsError):
        details.append(RetryInfo(retry_delay=Duration(seconds=retry)))
    return details


def _assemble(
    code: grpc.StatusCode,
    message: str,
    reason: str,
    details: list[Message],
    metadata: dict[str, str] | None = None,
) -> Failure:
    text = message.encode("utf-8", "replace")[:_MAX_MESSAGE].decode("utf-8", "ignore")
    status = Status(code=code.value[0], message=text)
    status.details.append(_pack(ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata or {})))
    for detail in details:
        room = MAX_STATUS_BYTES - status.ByteSize()
        if isinstance(detail, BadRequest):
            while detail.field_violations and detail.ByteSize() + 64 > room:
                del detail.field_violations[-1]
        if detail.ByteSize() + 64 <= room:
            status.details.append(_pack(detail))
    return Failure(code, text, status.SerializeToString())


def _pack(detail: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed
