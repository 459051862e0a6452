"""Whatever a caller sends, every call ends by an answer or an error of the contract: never INTERNAL, and the server lives.

Requests are made from the descriptors, field by field: names of what is stored and of what is not, ids half right,
numbers at their ends, enums out of range, tokens of the server's own and of others.
"""

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor as MessageDescriptor
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.discovery.address import EmailAddress
from mailsync_grpc.model.changes import SyncRunChanged
from mailsync_grpc.model.ids import encode_id, envelope_name
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.services.registry import SERVICES
from mailsync_grpc.store.base import Batch
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import envelope_service_pb2, system_service_pb2
from mailsync_grpc.v1.account_service_pb2 import CreateAccountRequest
from tests.support.accounts import account
from tests.support.api import serving
from tests.support.store import Mailbox, message_of, run_of

METHODS = [method for service in SERVICES.values() for method in service.methods]
SECONDS = 2.0
TOKEN = "operator"
"""Of one who may do everything, also once a token was made by a request that was drawn."""
BEARING = (("authorization", f"Bearer {TOKEN}"),)
STREAM_SECONDS = 0.1
DEPTH = 3
NAMES = {"name", "parent", "account", "folder", "email_address"}
NAMED = {"name", "parent"}
TOKENS = {"request_id", "page_token", "etag", "resume_token", "update_mask"}
RANGES = {
    FieldDescriptor.CPPTYPE_BOOL: (0, 1),
    FieldDescriptor.CPPTYPE_ENUM: (-1, 12),
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}
# A deadline passes where a watch is told of nothing, and where a busy machine is slow; neither is the handler's fault.
ENDS = {code for code in grpc.StatusCode if code.name not in {"INTERNAL", "UNKNOWN", "DATA_LOSS"}}


@dataclass(slots=True)
class Served:
    """A served API over a store with one account, a folder and messages in it, and texts that mean something to it."""

    channel: Any  # grpc's own is generic in its declarations only
    store: MemoryStore
    texts: tuple[str, ...]


async def _nothing(_: EmailAddress) -> tuple[()]:
    return ()


def _serve(
    data: Path, store: MemoryStore, started: threading.Event, address: list[str], loops: list[Any]
) -> None:
    async def serve() -> None:
        ended = asyncio.Event()
        async with serving(store, data, find=_nothing, token=TOKEN) as api:
            loops.append((asyncio.get_running_loop(), ended))
            address.append(api.address)
            started.set()
            await ended.wait()

    asyncio.run(serve())


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    store, started = MemoryStore(), threading.Event()
    address: list[str] = []
    loops: list[Any] = []
    with tempfile.TemporaryDirectory() as data:
        thread = threading.Thread(target=_serve, args=(Path(data), store, started, address, loops))
        thread.start()
        assert started.wait(30)
        try:
            with grpc.insecure_channel(address[0]) as channel:
                yield Served(channel, store, _texts(store, channel))
        finally:
            loop, ended = loops[0]
            loop.call_soon_threadsafe(ended.set)
            thread.join()


def _texts(store: MemoryStore, channel: Any) -> tuple[str, ...]:
    box, run = _filled(store)
    listing = envelope_service_pb2.ListEnvelopesRequest(parent=box.folder.name, page_size=2)
    page = envelope_service_pb2.ListEnvelopesResponse.FromString(
        channel.unary_unary("/mailsync.v1.EnvelopeService/ListEnvelopes")(
            listing.SerializeToString(), metadata=BEARING
        )
    )
    return (
        *("accounts/acme", "acme", box.folder.name, encode_id(box.folder.id)),
        *(envelope_name("acme", box.folder.id, 77, uid) for uid in (1, 9)),
        *(each.name for each in page.envelopes),
        f"accounts/acme/envelopes/{page.envelopes[0].envelope_id}",
        run.name,
        page.next_page_token,
        page.resume_token,
        page.resume_token[:-2],
        *("1", "1.2", "TEXT", "accounts/-", "accounts/nobody", "anna@example.test", "127.0.0.1"),
        *("6b2f7f3e-2d6a-4b7e-9a53-3f1c8e6f0a11", "display_name", "sync.window", "imap.tls.ca_pem"),
        *(
            "http://127.0.0.1/token",
            "env:HOME",
            "socks5://127.0.0.1:1",
            "x" * 5_000,
            "\x00",
            "a\r\nb",
            "../..",
            "é\u202e",
        ),
    )


def _filled(store: MemoryStore) -> tuple[Mailbox, SyncRun]:
    """The account as the tests know it; an earlier request may have deleted it."""
    made = Mailbox.make(store)
    made.backfill(*(message_of(uid, "\\Seen") for uid in range(1, 21)))
    run = run_of(store, made.account.key)
    store.apply(Batch(made.account.key, (SyncRunChanged(run),)))
    return made, run


def messages(
    kind: MessageDescriptor, texts: tuple[str, ...], depth: int = DEPTH
) -> st.SearchStrategy[Message]:
    """Any message of this kind, with some of its fields set."""
    assert kind is not None
    fields = [field for field in kind.fields if depth or field.message_type is None]
    chosen = (
        st.lists(st.sampled_from(fields), max_size=6, unique_by=lambda field: field.number)
        if fields
        else st.just([])
    )
    return chosen.flatmap(
        lambda some: st.fixed_dictionaries({field.name: _values(field, texts, depth) for field in some})
    ).map(lambda values: _made(kind, values))


def _made(kind: MessageDescriptor, values: dict[str, Any]) -> Message:
    message = GetMessageClass(kind)()
    for name, value in values.items():
        # What no client library can send (a text with a lone surrogate, say) is not sent.
        with suppress(ValueError, TypeError):
            message.MergeFrom(GetMessageClass(kind)(**{name: value}))
    return message


def mended(request: Message, method: str, texts: tuple[str, ...], damaged: set[str]) -> Message:
    """The request with what it must have and without tokens of nobody, but for the fields that stay `damaged`."""
    sound = type(request)()
    if isinstance(sound, CreateAccountRequest) and "account" not in damaged:
        sound.account.CopyFrom(account())
    sound.MergeFrom(request)
    for field in sound.DESCRIPTOR.fields:
        if field.name in NAMED and field.name not in damaged:
            setattr(sound, field.name, _name_for(method, field.name, texts))
        if field.name in TOKENS and field.name not in damaged:
            sound.ClearField(field.name)
    return sound


def _name_for(method: str, field: str, texts: tuple[str, ...]) -> str:
    account_name, _, folder_name, *_ = texts
    if "Run" in method and field == "name":
        return next(text for text in texts if "/syncRuns/" in text)
    if "Envelope" in method or "Content" in method:
        return folder_name if field == "parent" else texts[4]
    return folder_name if "Folder" in method and field == "name" else account_name


def _values(field: FieldDescriptor, texts: tuple[str, ...], depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry = field.message_type.fields_by_name
        return st.dictionaries(_one(entry["key"], texts, 0), _one(entry["value"], texts, 0), max_size=3)
    one = _one(field, texts, depth)
    return st.lists(one, max_size=4) if field.is_repeated else one


def _one(field: FieldDescriptor, texts: tuple[str, ...], depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(field.message_type, texts, depth - 1)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=40)
    if field.type == FieldDescriptor.TYPE_STRING:
        return st.sampled_from(texts) | (
            st.sampled_from(texts[:8]) if field.name in NAMES else st.text(max_size=20)
        )
    low, high = RANGES.get(field.cpp_type, (0, 0))
    return st.sampled_from((low, high, 0, 1, 77)) | st.integers(low, high) if high else st.floats()


def call(served: Served, method: MethodDescriptor, request: Message) -> grpc.StatusCode:
    """Make the call and say how it ended; of a stream the first answers are read."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    octets, channel = request.SerializeToString(), served.channel
    try:
        if method.server_streaming:
            for _ in channel.unary_stream(path)(octets, timeout=STREAM_SECONDS, metadata=BEARING):
                pass
        elif method.client_streaming:
            channel.stream_unary(path)(iter([octets, octets]), timeout=SECONDS, metadata=BEARING)
        else:
            channel.unary_unary(path)(octets, timeout=SECONDS, metadata=BEARING)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize(
    "method", METHODS, ids=lambda method: f"{method.containing_service.name}.{method.name}"
)
@given(data=st.data())
def test_no_request_makes_a_fault_of_the_server(
    served: Served, method: MethodDescriptor, data: st.DataObject
) -> None:
    if served.store.account("acme") is None:
        served.texts = _texts(served.store, served.channel)
    request = data.draw(messages(method.input_type, served.texts))
    fragile = sorted((NAMED | TOKENS | {"account"}) & {field.name for field in method.input_type.fields})
    damaged = data.draw(st.sets(st.sampled_from(fragile), max_size=1)) if fragile else set()
    request = mended(request, method.name, served.texts, damaged)
    assert call(served, method, request) in ENDS
    alive = SERVICES["SystemService"].methods_by_name["GetServerInfo"]
    assert call(served, alive, system_service_pb2.GetServerInfoRequest()) is grpc.StatusCode.OK
