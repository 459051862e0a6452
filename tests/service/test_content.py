"""DownloadContent and PurgeContentCache over gRPC: whose content it is decides before anything else is asked."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from mailsync_grpc.content.cache import Cache
from mailsync_grpc.content.cleaning import Limits
from mailsync_grpc.content.names import entry_of
from mailsync_grpc.content.parts import Part
from mailsync_grpc.content.values import ContentKind, DecodingWarning, MessageKey
from mailsync_grpc.metrics import cache_requests
from mailsync_grpc.model.access import Reach, Scope
from mailsync_grpc.model.ids import encode_id, envelope_name, folder_name
from mailsync_grpc.services.content import ContentService
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import content_service_pb2 as pb
from mailsync_grpc.v1 import system_service_pb2 as system_pb
from mailsync_grpc.vault import Vault
from tests.support.api import KEY, Api, reason, serving, violations
from tests.support.callers import Metadata, admit, bearing, token_of
from tests.support.store import Mailbox, message_of

TEXT = b"cached text"


class Kept:
    """Two accounts, `acme` and `other`, each with a message whose text is cached already."""

    def __init__(self, api: Api, boxes: list[Mailbox]) -> None:
        self.api = api
        self.mine, self.others = boxes

    @property
    def content(self) -> ContentService:
        service = self.api.services.servicers["ContentService"][0]
        assert isinstance(service, ContentService)
        return service

    def name(self, box: Mailbox, uid: int = 1) -> str:
        return envelope_name(box.account.id, box.folder.id, box.folder.uid_validity, uid)

    async def download(
        self, name: str, caller: Metadata = (), **what: Any
    ) -> list[pb.DownloadContentResponse]:
        request = pb.DownloadContentRequest(name=name, **what or {"kind": pb.CONTENT_KIND_TEXT})
        return [piece async for piece in self.api.content.DownloadContent(request, metadata=caller)]

    async def refused(self, name: str, caller: Metadata = (), **what: Any) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self.download(name, caller, **what)
        return raised.value

    async def purge(self, account: str = "", request_id: str = "") -> int:
        request = system_pb.PurgeContentCacheRequest(account=account, request_id=request_id)
        dropped: system_pb.PurgeContentCacheResponse = await self.api.system.PurgeContentCache(request)
        assert bool(dropped.size) == bool(dropped.entries)
        return dropped.entries

    async def stats(self) -> system_pb.CacheStats:
        response: system_pb.GetStatsResponse = await self.api.system.GetStats(system_pb.GetStatsRequest())
        return response.cache


class Watched:
    """Stands for an object and notes what is used of it."""

    def __init__(self, real: object, touched: list[str]) -> None:
        self._real, self._touched = real, touched

    def __getattr__(self, name: str) -> Any:
        self._touched.append(name)
        return getattr(self._real, name)

    def method(self, name: str) -> Callable[..., Any]:
        real = getattr(self._real, name)

        def noted(*args: Any) -> Any:
            self._touched.append(name)
            return real(*args)

        return noted


def keep(cache: Cache, box: Mailbox, content: bytes, section: str = "1") -> None:
    """Put content of the box's first message into a cache."""
    entry = entry_of(Vault(KEY).subkey("content names"), MessageKey(box.account, box.folder, 1), section)
    draft = cache.draft(entry, Part(section, "text/plain"))
    assert draft is not None
    assert cache.append(draft, content)
    assert cache.commit(draft)
    draft.file.close()


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    store, vault = MemoryStore(), Vault(KEY)
    boxes = [Mailbox.make(store, account) for account in ("acme", "other")]
    cache = Cache(tmp_path / "content", vault.subkey("content cache"), Limits(1 << 20, 1.0))
    for box in boxes:
        box.add(message_of(1))
        keep(cache, box, TEXT)
    cache.close()
    async with serving(store, tmp_path) as api:
        yield Kept(api, boxes)


async def test_cached_content_comes_without_the_mail_server(kept: Kept) -> None:
    header, chunk, trailer = await kept.download(kept.name(kept.mine))
    assert header.header.cached
    assert (chunk.chunk, trailer.trailer.size) == (TEXT, len(TEXT))


async def test_offset_limit_chunk_size_and_if_match_are_the_requests(kept: Kept) -> None:
    whole = bytes(range(250)) * 40
    keep(kept.content.reader._cache, kept.mine, whole, section="2")
    name = kept.name(kept.mine)
    header, *chunks, trailer = await kept.download(
        name, section="2", offset=1_000, limit=5_000, chunk_size=2_048
    )
    assert [len(piece.chunk) for piece in chunks] == [2_048, 2_048, 904]
    assert b"".join(piece.chunk for piece in chunks) == whole[1_000:6_000]
    assert (header.header.offset, header.header.section, header.header.total_size) == (1_000, "2", len(whole))
    assert (trailer.trailer.size, trailer.trailer.total_size) == (5_000, len(whole))
    assert trailer.trailer.sha256 == hashlib.sha256(whole[1_000:6_000]).digest()
    etag = header.header.etag
    last = await kept.download(name, section="2", offset=len(whole) - 1, if_match=etag)
    assert last[1].chunk == whole[-1:]
    assert reason(await kept.refused(name, section="2", if_match=etag[::-1])) == "CONTENT_CHANGED"


async def test_names_that_are_not_the_callers_are_refused_before_the_cache_is_asked(kept: Kept) -> None:
    """Cached or not, there or not: the name alone decides, so that no time tells of another's content."""
    before = await kept.stats()
    mine, others = kept.mine, kept.others
    for name, why in (
        (kept.name(others).replace("accounts/other", "accounts/nobody"), "ACCOUNT_NOT_FOUND"),
        (kept.name(others).replace("accounts/other", "accounts/acme"), "FOLDER_NOT_FOUND"),
        (f"accounts/acme/envelopes/{encode_id(bytes(10))}", "ENVELOPE_NOT_FOUND"),
        (f"{folder_name('acme', mine.folder.id)}/envelopes/78.1", "UID_VALIDITY_CHANGED"),
    ):
        assert reason(await kept.refused(name)) == why
    after = await kept.stats()
    assert (after.hits, after.misses) == (before.hits, before.misses)


async def test_a_message_the_mirror_does_not_hold_is_not_served_without_its_server(kept: Kept) -> None:
    """It may be gone, and nobody would have told us: the mail server is asked first, here one that is not there."""
    error = await kept.refused(kept.name(kept.mine, uid=9))
    assert reason(error) in {"IMAP_UNREACHABLE", "CREDENTIALS_NEEDED"}


def test_kinds_and_warnings_have_the_contracts_numbers() -> None:
    kinds = {f"CONTENT_KIND_{kind.name}": kind.value for kind in ContentKind}
    warnings = {f"DECODING_WARNING_{warning.name}": warning.value for warning in DecodingWarning}
    assert kinds | {"CONTENT_KIND_UNSPECIFIED": 0} == dict(pb.ContentKind.items())
    assert warnings | {"DECODING_WARNING_UNSPECIFIED": 0} == dict(pb.DecodingWarning.items())


async def test_what_is_wanted_must_be_said(kept: Kept) -> None:
    for what in ({"section": ""}, {"kind": pb.CONTENT_KIND_UNSPECIFIED}, {"content_id": ""}, {"offset": 1}):
        assert violations(await kept.refused(kept.name(kept.mine), **what)).keys() == {"what"}


async def test_a_part_is_found_by_its_content_id_or_not_at_all(kept: Kept) -> None:
    assert reason(await kept.refused(kept.name(kept.mine), content_id="<none@here>")) == "PART_NOT_FOUND"


async def test_a_purge_drops_what_is_kept_of_one_account_or_of_all(kept: Kept) -> None:
    assert (await kept.stats()).entries == 2
    assert await kept.purge("accounts/acme") == 1
    assert await kept.purge("accounts/acme") == 0
    assert (await kept.download(kept.name(kept.others)))[0].header.cached
    assert await kept.purge() == 1
    assert (await kept.stats()).entries == 0


async def test_a_purge_names_an_account_that_is_there(kept: Kept) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await kept.purge("accounts/nobody")
    assert reason(unknown.value) == "ACCOUNT_NOT_FOUND"
    with pytest.raises(grpc.aio.AioRpcError) as malformed:
        await kept.purge("nobody")
    assert violations(malformed.value).keys() == {"account"}


async def test_a_token_of_one_account_reads_and_purges_that_one_alone(kept: Kept) -> None:
    """Another's content is answered as content that is not there, cached or not, and outlives a purge of everything."""
    mine = Reach((kept.mine.account.key,))
    admit(kept.api.store, token_of(1, Scope.READ_CONTENT, Scope.ADMIN, reach=mine))
    await asyncio.to_thread(kept.api.core.callers.look)
    caller = bearing(1)
    before = cache_requests()
    for name in (kept.name(kept.others), kept.name(kept.others, uid=9)):
        assert reason(await kept.refused(name, caller=caller)) == "ACCOUNT_NOT_FOUND"
    assert cache_requests() == before
    assert (await kept.download(kept.name(kept.mine), caller=caller))[0].header.cached
    purge = system_pb.PurgeContentCacheRequest()
    dropped = await kept.api.system.PurgeContentCache(purge, metadata=caller)
    assert dropped.entries == 1
    assert (await kept.content.reader.cached())[0] == 1


async def test_who_has_no_right_learns_nothing_by_waiting(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not clocked: until a caller's right is known nothing is touched that knows what is cached or there.

    So what is refused takes the same steps whether it is cached, there, or made up.
    """
    reach = Reach((kept.mine.account.key,))
    admit(
        kept.api.store,
        token_of(1, Scope.READ_CONTENT, reach=reach),
        token_of(2, Scope.READ_METADATA, Scope.MODIFY_MAIL),
    )
    await asyncio.to_thread(kept.api.core.callers.look)
    reader, touched = kept.content.reader, list[str]()
    for part in ("_source", "_cache", "_sharing", "_structures"):
        monkeypatch.setattr(reader, part, Watched(getattr(reader, part), touched))
    looked_up = ("account", "folder", "folder_by_no", "locate", "envelope")
    for lookup in looked_up:
        monkeypatch.setattr(kept.api.store, lookup, Watched(kept.api.store, touched).method(lookup))

    async def steps(name: str, caller: int, **what: Any) -> tuple[str, list[str]]:
        touched.clear()
        refusal = reason(await kept.refused(name, bearing(caller), **what))
        return refusal, touched.copy()

    cached, uncached = kept.name(kept.others), kept.name(kept.others, uid=9)
    by_id = f"accounts/other/envelopes/{encode_id(bytes(10))}"
    made_up = cached.replace("accounts/other", "accounts/nobody")
    for name in (cached, uncached, by_id, made_up):
        assert await steps(name, caller=1) == ("ACCOUNT_NOT_FOUND", ["account"])
        assert await steps(name, caller=1, content_id="x@y") == ("ACCOUNT_NOT_FOUND", ["account"])
    for name in (kept.name(kept.mine), cached, made_up):
        assert (await steps(name, caller=2))[1] == []
    assert (await kept.download(kept.name(kept.mine), bearing(1)))[0].header.cached
    assert "share" in touched, "what is watched would have shown"


async def test_a_download_ends_with_its_callers_token(kept: Kept) -> None:
    """What flow control has let through arrives; the rest does not once the token is revoked."""
    keep(kept.content.reader._cache, kept.mine, bytes(8 << 20), section="2")
    admit(kept.api.store, token_of(1), token_of(2))
    await asyncio.to_thread(kept.api.core.callers.look)
    request = pb.DownloadContentRequest(name=kept.name(kept.mine), section="2")
    pieces = aiter(kept.api.content.DownloadContent(request, metadata=bearing(1)))
    assert (await anext(pieces)).header.cached
    revoke = system_pb.RevokeTokenRequest(name=f"tokens/{token_of(1).id}")
    await kept.api.system.RevokeToken(revoke, metadata=bearing(2))
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        _ = [piece async for piece in pieces]
    assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_purge_may_be_repeated(kept: Kept) -> None:
    request_id = str(uuid.uuid4())
    assert [await kept.purge(request_id=request_id) for _ in range(2)] == [2, 0]
