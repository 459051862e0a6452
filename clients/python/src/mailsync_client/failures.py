"""What a failed call says: its status code, and of its google.rpc details the reason and how long to wait.

Every error of the service carries ErrorInfo (domain `mailsync`); its reason is a name of `ErrorReason` without prefix.
Failures made on the way (a refused connection, a proxy) have a code only.
"""

from dataclasses import dataclass

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status

# The connection, the server or its present load failed, not the request: the same call may succeed later.
PASSING = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)
# What was a position once is none any more, by another reason than its age: the service's key or the caller's filter changed.
_POSITION_LOST = frozenset({"FILTER_MISMATCH", "PAGE_TOKEN_INVALID", "RESUME_TOKEN_INVALID"})


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed call. `retry_after`: seconds the server asks to wait, 0 when it asks for none."""

    code: grpc.StatusCode
    reason: str = ""
    message: str = ""
    retry_after: float = 0.0

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed later."""
        return self.code in PASSING

    @property
    def position_lost(self) -> bool:
        """Whether the call went on from a position that cannot be served; without one it may succeed."""
        return self.code is grpc.StatusCode.OUT_OF_RANGE or self.reason in _POSITION_LOST


def failure_of(error: grpc.RpcError) -> Failure:
    """What `error` says."""
    reason, retry_after = "", 0.0
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reason = info.reason
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            asked = error_details_pb2.RetryInfo()
            detail.Unpack(asked)
            retry_after = seconds(asked.retry_delay)
    return Failure(error.code(), reason, error.details() or "", retry_after)


def seconds(duration: Duration) -> float:
    """A protobuf duration in seconds."""
    return duration.seconds + duration.nanos / 1e9
