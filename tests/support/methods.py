"""Every call of the contract, made by name with a request written as a dictionary, and all that its failure says."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

from mailsync_grpc.services.registry import SERVICES
from tests.support.callers import Metadata

METHODS: Mapping[str, MethodDescriptor] = {
    f"{name}.{method.name}": method for name, service in SERVICES.items() for method in service.methods
}


class Told(NamedTuple):
    """How a call ended: its code, message and details, byte for byte; OK and nothing when it did well."""

    code: grpc.StatusCode
    message: str
    details: bytes

    @property
    def reason(self) -> str:
        """The reason of ErrorInfo."""
        info = error_details_pb2.ErrorInfo()
        for detail in status_pb2.Status.FromString(self.details).details:
            detail.Unpack(info)
        return str(info.reason)


async def call(
    channel: grpc.aio.Channel, method: str, request: Mapping[str, Any], metadata: Metadata
) -> Told:
    """Make a call and return how it ended; of a stream of answers the first one is waited for."""
    descriptor = METHODS[method]
    message = ParseDict(dict(request), GetMessageClass(descriptor.input_type)())
    make: Any = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
    }[descriptor.client_streaming, descriptor.server_streaming]
    path = f"/{descriptor.containing_service.full_name}/{descriptor.name}"
    made = make(
        path,
        request_serializer=lambda sent: sent.SerializeToString(),
        response_deserializer=GetMessageClass(descriptor.output_type).FromString,
    )
    sent = iter([message]) if descriptor.client_streaming else message
    try:
        running = made(sent, metadata=metadata)
        if descriptor.server_streaming:
            await running.read()
            running.cancel()
        else:
            await running
    except grpc.aio.AioRpcError as error:
        trailing = dict(error.trailing_metadata() or ())
        details: Any = trailing.get("grpc-status-details-bin", b"")
        return Told(error.code(), error.details() or "", details)
    return Told(grpc.StatusCode.OK, "", b"")
