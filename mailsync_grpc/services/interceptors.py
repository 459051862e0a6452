"""What happens around every call: the caller's token, errors turned into statuses, metrics, one line in the log.

Health checks stay open, since load balancers carry no token; everything else, reflection included, needs the bearer
token (RFC 6750) where one is set. Nothing of a request or response is logged, only what the call was and how it ended.
"""

import asyncio
import hmac
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from typing import Any, NamedTuple

import grpc
import structlog
from grpc.aio import AbortError

from mailsync_grpc import metrics
from mailsync_grpc.errors import MailsyncError, UnauthenticatedError, places
from mailsync_grpc.services import status
from mailsync_grpc.services.registry import Context, Handler

ABORT_SECONDS = 5.0

_OPEN = "/grpc.health.v1.Health/"
_log = structlog.get_logger(__name__)


class Method(NamedTuple):
    """A call as metrics and log name it."""

    kind: str
    service: str
    name: str


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Guards and observes every call of the server."""

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else _digest(token)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the call's handler with the guard around it."""
        handler = await continuation(handler_call_details)
        if handler is None:  # no such call; grpc answers UNIMPLEMENTED itself
            return handler
        path = handler_call_details.method
        admitted = path.startswith(_OPEN) or self._admits(handler_call_details.invocation_metadata)
        return _wrapped(handler, path, admitted)

    def _admits(self, metadata: Any) -> bool:
        if self._token is None:
            return True
        sent = next((value for key, value in metadata or () if key == "authorization"), "")
        scheme, _, token = sent.partition(" ")
        # Hashes are compared, so that time tells neither content nor length.
        return scheme.lower() == "bearer" and hmac.compare_digest(_digest(token.strip()), self._token)


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


def _wrapped(handler: Handler, path: str, admitted: bool) -> Handler:
    _, service, name = path.split("/", 2)
    streams = bool(handler.response_streaming)
    kind = f"{'bidi' if handler.request_streaming else 'server'}_stream" if streams else "unary"
    inner: Any  # each kind has a type of its own, and grpc.aio's are not those of its declarations
    make: Callable[..., Handler]
    match bool(handler.request_streaming), streams:
        case False, False:
            inner, make = handler.unary_unary, grpc.unary_unary_rpc_method_handler
        case False, True:
            inner, make = handler.unary_stream, grpc.unary_stream_rpc_method_handler
        case True, False:
            inner, make = handler.stream_unary, grpc.stream_unary_rpc_method_handler
        case _:
            inner, make = handler.stream_stream, grpc.stream_stream_rpc_method_handler
    guarded = _guarded(
        _written(inner) if inspect.isasyncgenfunction(inner) else inner, Method(kind, service, name), admitted
    )
    return make(
        guarded,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _written(
    generator: Callable[[Any, Context], AsyncIterator[Any]],
) -> Callable[[Any, Context], Awaitable[None]]:
    """Return a coroutine that writes what a library's generator yields."""

    async def write_all(request: Any, context: Context) -> None:
        async for response in generator(request, context):
            await context.write(response)

    return write_all


def _guarded(
    inner: Callable[[Any, Context], Awaitable[Any]], method: Method, admitted: bool
) -> Callable[[Any, Context], Awaitable[Any]]:
    async def call(request: Any, context: Context) -> Any:
        begin = time.perf_counter()
        metrics.GRPC_STARTED.labels(*method).inc()
        code = grpc.StatusCode.CANCELLED  # what is left when neither branch below ran to its end
        try:
            _admit(admitted)
            response = await inner(request, context)
            code = grpc.StatusCode.OK
        except AbortError:
            code = _own_code(context)
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: nothing but a status leaves the server
            failure = status.failure(error)
            code = failure.code
            _report(error, method)
            await _abort(failure, context)
        else:
            return response
        finally:
            _observe(method, code, time.perf_counter() - begin)

    return call


def _admit(admitted: bool) -> None:
    if not admitted:
        raise UnauthenticatedError("this server needs a token: send `authorization: Bearer <token>`")


async def _abort(failure: status.Failure, context: Context) -> None:
    """End the call. The status waits behind what the peer has not read yet, and not for ever."""
    async with asyncio.timeout(ABORT_SECONDS):
        await context.abort(failure.code, failure.message, ((status.DETAILS_KEY, failure.details),))


def _own_code(context: Context) -> grpc.StatusCode:
    """Return the code that a library's servicer aborted with (its number, in grpc.aio)."""
    number: object = context.code()
    return next((code for code in grpc.StatusCode if code.value[0] == number), grpc.StatusCode.UNKNOWN)


def _report(error: Exception, method: Method) -> None:
    if not isinstance(error, MailsyncError) or type(error).reason == "INTERNAL":
        # Frames name code, not data; the text of an exception may quote what a caller or a mail server sent.
        _log.error(
            "fault",
            service=method.service,
            method=method.name,
            error=type(error).__name__,
            frames=places(error),
        )


def _observe(method: Method, code: grpc.StatusCode, seconds: float) -> None:
    metrics.GRPC_HANDLED.labels(*method, code.name).inc()
    if method.kind == "unary":
        metrics.GRPC_SECONDS.labels(*method).observe(seconds)
    log = _log.debug if code is grpc.StatusCode.OK else _log.info
    log("call", service=method.service, method=method.name, code=code.name, seconds=round(seconds, 6))
