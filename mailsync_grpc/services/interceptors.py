"""What happens around every call: who calls and may it, errors turned into statuses, metrics, one line in the log.

Health checks stay open, since load balancers carry no token; for everything else, reflection included, the caller is
found by its bearer token (RFC 6750), counted against its quota, held against what the call needs, and set for the
call's context. Nothing of a request or response is logged, only what the call was and how it ended; of calls that change
something the audit log tells what resources they named.
"""

import asyncio
import inspect
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import grpc
import structlog
from grpc.aio import AbortError

from mailsync_grpc import metrics
from mailsync_grpc.errors import MailsyncError, places
from mailsync_grpc.services import rights, status
from mailsync_grpc.services.audit import STRANGER, Audit, Entry, request_id, resources
from mailsync_grpc.services.callers import CALLER, Callers
from mailsync_grpc.services.quotas import Quotas
from mailsync_grpc.services.registry import Context, Handler

ABORT_SECONDS = 5.0
_KINDS = {
    (False, False): "unary",
    (False, True): "server_stream",
    (True, False): "client_stream",
    (True, True): "bidi_stream",
}
"""Kinds of calls by whether request and response are streams."""
_HEALTH = "health"
"""Whose the streams of health checks are, which carry no token."""

_log = structlog.get_logger(__name__)


class Method(NamedTuple):
    """A call as metrics and log name it, and its path."""

    kind: str
    service: str
    name: str

    @property
    def path(self) -> str:
        """What the call is on the wire (RFC 9113 section 8.3.1, `:path`)."""
        return f"/{self.service}/{self.name}"


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Guards and observes every call of the server."""

    def __init__(self, callers: Callers, quotas: Quotas, audit: Audit) -> None:
        self._gate = Gate(callers, quotas)
        self._audit = audit

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the call's handler with the guard around it."""
        handler = await continuation(handler_call_details)
        if handler is None:  # no such call; grpc answers UNIMPLEMENTED itself
            return handler
        secret = _bearer(handler_call_details.invocation_metadata)
        return _wrapped(handler, handler_call_details.method, secret, self._gate, self._audit)


class Gate(NamedTuple):
    """Lets calls in: by their token, their caller's quota, and what they need."""

    callers: Callers
    quotas: Quotas

    def enter(self, method: Method, secret: str | None, held: ExitStack) -> None:
        """Let a call in and set its caller, as long as `held` is open.

        Raises UnauthenticatedError, PermissionDeniedError, QuotaExceededError.
        """
        name = _HEALTH
        if not method.path.startswith(rights.HEALTH):
            caller = self.callers.identify(secret)
            CALLER.set(caller)
            name = caller.name
            self.quotas.take(name)
            rights.require(method.path, caller.scopes)
        if method.kind != "unary":
            held.enter_context(self.quotas.stream(name))
        elif rights.changes_mail(method.path):
            held.enter_context(self.quotas.change(name))


def _bearer(metadata: Any) -> str | None:
    """Return the bearer token that a call carries, None without one."""
    sent = next((value for key, value in metadata or () if key == "authorization"), "")
    scheme, _, token = sent.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _wrapped(handler: Handler, path: str, secret: str | None, gate: Gate, audit: Audit) -> Handler:
    _, service, name = path.split("/", 2)
    streams = bool(handler.response_streaming)
    kind = _KINDS[bool(handler.request_streaming), streams]
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
    written = _written(inner) if inspect.isasyncgenfunction(inner) else inner
    guarded = _guarded(written, Method(kind, service, name), secret, gate, audit)
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


class _Opened:
    """What a client streams; its first message, which says what the call is about, is kept for the audit."""

    def __init__(self, messages: AsyncIterable[Any]) -> None:
        self._from = messages
        self._messages: AsyncIterator[Any] | None = None
        self.first: object = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        # Not before it is asked for: an iterator of grpc's that is never used is a coroutine that nobody awaited.
        self._messages = self._messages or aiter(self._from)
        message = await anext(self._messages)
        self.first = self.first or message
        return message


def _guarded(
    inner: Callable[[Any, Context], Awaitable[Any]],
    method: Method,
    secret: str | None,
    gate: Gate,
    audit: Audit,
) -> Callable[[Any, Context], Awaitable[Any]]:
    async def call(request: Any, context: Context) -> Any:
        begin = time.perf_counter()
        metrics.GRPC_STARTED.labels(*method).inc()
        code = grpc.StatusCode.CANCELLED  # what is left when no branch below ran to its end
        response: Any = None
        failure: status.Failure | None = None
        request = _Opened(request) if hasattr(request, "__aiter__") else request
        try:
            with ExitStack() as held:
                gate.enter(method, secret, held)
                response = await inner(request, context)
            code = grpc.StatusCode.OK
        except AbortError:
            code = _own_code(context)
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: nothing but a status leaves the server
            failure = status.failure(error)
            code = failure.code
            _report(error, method)
        finally:
            _observe(method, code, time.perf_counter() - begin)
            if rights.call_of(method.path) in rights.CHANGING:
                about = request.first if isinstance(request, _Opened) else request
                audit.write(_entry(method, about, response, code, context))
        if failure is not None:
            await _abort(failure, context)
        return response

    return call


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


def _entry(
    method: Method, request: object, response: object, code: grpc.StatusCode, context: Context
) -> Entry:
    caller = CALLER.get(None)
    return Entry(
        caller.name if caller is not None else STRANGER,
        context.peer(),
        rights.call_of(method.path),
        resources(request, response),
        code.name,
        request_id(request),
    )


def _observe(method: Method, code: grpc.StatusCode, seconds: float) -> None:
    metrics.GRPC_HANDLED.labels(*method, code.name).inc()
    if method.kind == "unary":
        metrics.GRPC_SECONDS.labels(*method).observe(seconds)
    log = _log.debug if code is grpc.StatusCode.OK else _log.info
    log("call", service=method.service, method=method.name, code=code.name, seconds=round(seconds, 6))
