"""Which calls of the contract are served, and how: handlers built from the descriptors, none generated, none faked.

A service's calls are coroutines, named in snake case, of one or more objects. What none of them has answers
UNIMPLEMENTED with what is missing, from the one list below, which the README's status table repeats. A response may be
a message or bytes that are one already (joined from stored bytes), which are passed through as they are.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from mailsync_grpc.errors import NotImplementedYetError
from mailsync_grpc.v1 import (
    account_service_pb2,
    content_service_pb2,
    envelope_service_pb2,
    event_service_pb2,
    folder_service_pb2,
    system_service_pb2,
)

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
# Generic in its declarations only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Response: TypeAlias = Message | bytes

SERVICES: Final[Mapping[str, ServiceDescriptor]] = MappingProxyType(
    {
        name: file.DESCRIPTOR.services_by_name[name]
        for name, file in (
            ("AccountService", account_service_pb2),
            ("FolderService", folder_service_pb2),
            ("EnvelopeService", envelope_service_pb2),
            ("ContentService", content_service_pb2),
            ("EventService", event_service_pb2),
            ("SystemService", system_service_pb2),
        )
    }
)

UNIMPLEMENTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "EnvelopeService.ListThreads": "an index of conversations",
    }
)
"""Calls of the contract that are not built yet, `Service.Method`, and what is missing."""


def handlers(service: ServiceDescriptor, servicers: Sequence[object]) -> grpc.GenericRpcHandler:
    """Return the handler of a service: each of its calls goes to a servicer's coroutine, or is UNIMPLEMENTED."""
    return grpc.method_handlers_generic_handler(
        service.full_name,
        {method.name: _handler(method, _behaviour(method, servicers)) for method in service.methods},
    )


def built(service: ServiceDescriptor, servicers: Sequence[object]) -> set[str]:
    """Return the calls of a service that have a coroutine, as `Service.Method`."""
    return {
        f"{service.name}.{method.name}"
        for method in service.methods
        if _coroutine(method, servicers) is not None
    }


def snake_case(name: str) -> str:
    """Return `get_account` for `GetAccount`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def serialize(response: Response) -> bytes:
    """Return a response's bytes; bytes are a serialized message already."""
    return response if isinstance(response, bytes) else response.SerializeToString()


def _coroutine(method: MethodDescriptor, servicers: Sequence[object]) -> Callable[..., Awaitable[Any]] | None:
    name = snake_case(method.name)
    return next((getattr(servicer, name) for servicer in servicers if hasattr(servicer, name)), None)


def _behaviour(method: MethodDescriptor, servicers: Sequence[object]) -> Callable[..., Awaitable[Any]]:
    coroutine = _coroutine(method, servicers)
    if coroutine is not None:
        return coroutine
    name = f"{method.containing_service.name}.{method.name}"
    missing = UNIMPLEMENTED[name]

    async def refuse(_request: object, _context: Context) -> None:
        raise NotImplementedYetError(f"{name}: {missing} is not in this version")

    return refuse


def _handler(method: MethodDescriptor, behaviour: Callable[..., Awaitable[Any]]) -> Handler:
    make: Callable[..., Handler] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[method.client_streaming, method.server_streaming]
    return make(
        behaviour,
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=serialize,
    )
