"""Filters of ListEnvelopes and ExportEnvelopes: what they let through, what they refuse, and that nothing is passed over."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.model.changes import EnvelopesRemoved
from mailsync_grpc.model.envelope import Address, Envelope, Partial, PartialReason
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.services import envelope_scan, export
from mailsync_grpc.services.envelope_filter import Wanted
from mailsync_grpc.services.envelope_scan import SCAN_BUDGET
from mailsync_grpc.services.paging import MAX_PAGE_SIZE
from mailsync_grpc.store.base import Batch, Store
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.store.values import EnvelopeRow
from mailsync_grpc.v1 import envelope_pb2, event_service_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from tests.support.api import Api, reason, serving, violations
from tests.support.store import START, Mailbox, message_of
from tests.support.watching import head, watching

DAY = 86_400
KIM, LEE, ANN = (
    Address("Kim Grün", "kim@a.example"),
    Address("", "Lee@B.example"),
    Address("ANN", "ann@c.example"),
)
PLAIN = envelope_pb2.Flags


@pytest.fixture(params=["memory", "lmdb"])
async def api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Api]:
    """The API over an empty store of each engine."""
    store: Store = (
        MemoryStore() if request.param == "memory" else open_store(tmp_path / "data", exclusive=True)
    )
    async with serving(store, tmp_path) as served:
        yield served
    store.close()


def time_of(day: int, nanos: int = 0) -> Timestamp:
    return Timestamp(seconds=int(START) + day * DAY, nanos=nanos)


def letter(uid: int, *flags: str, labels: tuple[str, ...] = (), **metadata: Any) -> Any:
    """A message of day `uid` with this metadata and nothing else."""
    envelope = Envelope(internal_date=int(START) + uid * DAY, size=1, **metadata)
    return message_of(uid)._replace(flags=Flags.of(flags, labels), envelope=envelope)


@pytest.fixture
def box(api: Api) -> Mailbox:
    """Six messages, two of which are only partly known."""
    made = Mailbox.make(api.store)
    pdf = message_of(1).envelope.attachments
    made.backfill(
        letter(1, "\\Seen", "Work", from_=(KIM,), to=(LEE,), subject="Angebot STRASSE", attachments=pdf),
        letter(2, "\\Seen", "\\Flagged", from_=(LEE,), cc=(KIM,), message_id="a.1@x", thread_id="T1"),
        letter(3, "$Junk", from_=(ANN,), bcc=(LEE,), subject="Re: Angebot", thread_id="T1"),
        letter(4, labels=("Work",), reply_to=(KIM,), subject="straße", thread_id="t1", message_id="A.2@x"),
    )
    unknown = Envelope(partial=Partial(PartialReason.NOT_FETCHED, ""))
    made.backfill(
        message_of(5, "\\Seen")._replace(envelope=unknown),
        letter(
            6, subject="Angebot", attachments=pdf, partial=Partial(PartialReason.TOO_LARGE, "too many parts")
        ),
    )
    return made


async def pages(api: Api, parent: str, **request: Any) -> list[pb.ListEnvelopesResponse]:
    asked = pb.ListEnvelopesRequest(parent=parent, order=pb.ENVELOPE_ORDER_UID_ASC, **request)
    found: list[pb.ListEnvelopesResponse] = []
    while not found or asked.page_token:
        found.append(await api.envelopes.ListEnvelopes(asked))
        asked.page_token = found[-1].next_page_token
    return found


async def exported(api: Api, parent: str, **request: Any) -> list[pb.ExportEnvelopesResponse]:
    call = api.envelopes.ExportEnvelopes(pb.ExportEnvelopesRequest(parent=parent, **request))
    return [piece async for piece in call]


def uids(found: list[pb.ListEnvelopesResponse] | list[pb.ExportEnvelopesResponse]) -> list[int]:
    return [envelope.uid for page in found for envelope in page.envelopes]


CASES: dict[str, tuple[dict[str, Any], list[int]]] = {
    "nothing asked": ({}, [1, 2, 3, 4, 5, 6]),
    "since takes the second itself": ({"since": time_of(3)}, [3, 4, 6]),
    "since is a moment": ({"since": time_of(3, 1)}, [4, 6]),
    "before leaves it out": ({"before": time_of(3)}, [1, 2]),
    "before is a moment": ({"before": time_of(3, 1)}, [1, 2, 3]),
    "both": ({"since": time_of(2), "before": time_of(4)}, [2, 3]),
    "a flag": ({"flags_set": PLAIN(seen=True)}, [1, 2, 5]),
    "all of the flags": ({"flags_set": PLAIN(seen=True, flagged=True)}, [2]),
    "not a flag": ({"flags_unset": PLAIN(seen=True)}, [3, 4, 6]),
    "none of the flags": ({"flags_unset": PLAIN(seen=True, keywords=["$junk"])}, [4, 6]),
    "a keyword in any case": ({"flags_set": PLAIN(keywords=["wORK"])}, [1]),
    "a flag named as IMAP does": ({"flags_set": PLAIN(keywords=["\\SEEN"])}, [1, 2, 5]),
    "a label": ({"flags_set": PLAIN(labels=["Work"])}, [4]),
    "a label has a case": ({"flags_set": PLAIN(labels=["work"])}, []),
    "no flags named": ({"flags_set": PLAIN(), "flags_unset": PLAIN(seen=False)}, [1, 2, 3, 4, 5, 6]),
    "from by name": ({"from_contains": "GRÜN"}, [1]),
    "from by address": ({"from_contains": "ee@b"}, [2]),
    "from is not across name and address": ({"from_contains": "grün kim"}, []),
    "to, cc and bcc": ({"to_contains": "example"}, [1, 2, 3]),
    "subject": ({"subject_contains": "ANGEBOT"}, [1, 3, 6]),
    "subject, folded": ({"subject_contains": "straSSe"}, [1, 4]),
    "an attachment": ({"has_attachment": True}, [1, 6]),
    "no attachment": ({"has_attachment": False}, [2, 3, 4]),
    "a thread has a case": ({"thread_id": "T1"}, [2, 3]),
    "a Message-ID": ({"message_id": "a.1@x"}, [2]),
    "a Message-ID in brackets": ({"message_id": " <a.2@X> "}, [4]),
    "a part of a Message-ID": ({"message_id": "1@x"}, []),
    "words": ({"text": "angebot  kim"}, [1]),
    "words in names and addresses": ({"text": "kim EXAMPLE"}, [1, 2, 4]),
    "a word of whoever is named": ({"text": "LEE@b"}, [1, 2, 3]),
    "words elsewhere": ({"text": "a.1@x"}, []),
    "all together": ({"text": "angebot", "flags_set": PLAIN(seen=True), "before": time_of(2)}, [1]),
    "together with uids": (
        {"uids": [envelope_pb2.UidRange(first=2, last=4)], "flags_unset": PLAIN(seen=True)},
        [3, 4],
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_lists_and_exports_hold_what_passes(api: Api, box: Mailbox, case: str) -> None:
    conditions, expected = CASES[case]
    asked = pb.EnvelopeFilter(**conditions)
    assert uids(await pages(api, box.folder.name, filter=asked)) == expected
    assert uids(await pages(api, box.folder.name, filter=asked, page_size=1)) == expected
    assert uids(await exported(api, box.folder.name, filter=asked)) == expected
    assert uids(await exported(api, box.account.name, filter=asked)) == expected


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "uids": ({"uids": [envelope_pb2.UidRange(first=2, last=1)]}, "filter.uids"),
    "too many uids": ({"uids": [envelope_pb2.UidRange(first=1, last=1)] * 1_001}, "filter.uids"),
    "no span": ({"since": time_of(2), "before": time_of(2)}, "filter.before"),
    "backwards": ({"since": time_of(2, 1), "before": time_of(2)}, "filter.before"),
    "no time": ({"since": Timestamp(seconds=1 << 60)}, "filter.since"),
    "no nanos": ({"before": Timestamp(seconds=1, nanos=-1)}, "filter.before"),
    "an empty keyword": ({"flags_set": PLAIN(keywords=[""])}, "filter.flags_set.keywords"),
    "recent": ({"flags_unset": PLAIN(keywords=["\\recent"])}, "filter.flags_unset.keywords"),
    "an empty label": ({"flags_unset": PLAIN(labels=[""])}, "filter.flags_unset.labels"),
    "too many keywords": ({"flags_set": PLAIN(keywords=map(str, range(101)))}, "filter.flags_set"),
    "set and unset": (
        {"flags_set": PLAIN(keywords=["x"]), "flags_unset": PLAIN(keywords=["X"])},
        "filter.flags_unset",
    ),
    "blank from": ({"from_contains": " "}, "filter.from_contains"),
    "blank to": ({"to_contains": "\t"}, "filter.to_contains"),
    "blank subject": ({"subject_contains": " "}, "filter.subject_contains"),
    "blank thread": ({"thread_id": " "}, "filter.thread_id"),
    "no words": ({"text": "\N{NO-BREAK SPACE}"}, "filter.text"),
    "too many words": ({"text": "a " * 33}, "filter.text"),
    "empty brackets": ({"message_id": "<>"}, "filter.message_id"),
    **{
        f"long {name}": ({name: "x" * 1_001}, f"filter.{name}")
        for name in (
            "from_contains",
            "to_contains",
            "subject_contains",
            "thread_id",
            "message_id",
            "text",
        )
    },
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_no_filter_is_refused_by_its_field(api: Api, box: Mailbox, case: str) -> None:
    conditions, field = REFUSED[case]
    asked = pb.EnvelopeFilter(**conditions)
    for call in (pages, exported):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(api, box.folder.name, filter=asked)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert list(violations(caught.value)) == [field]


async def test_every_fault_of_a_filter_is_named(api: Api, box: Mailbox) -> None:
    asked = pb.EnvelopeFilter(since=time_of(2), before=time_of(1), text=" ", message_id="<>")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pages(api, box.folder.name, filter=asked)
    assert set(violations(caught.value)) == {"filter.before", "filter.text", "filter.message_id"}


MUTABLE = [pb.EnvelopeFilter(flags_set=PLAIN(seen=True)), pb.EnvelopeFilter(flags_unset=PLAIN(draft=True))]
STEADY = [pb.EnvelopeFilter(), pb.EnvelopeFilter(text="angebot"), pb.EnvelopeFilter(flags_set=PLAIN())]


@pytest.mark.parametrize(
    ("asked", "is_there"), [*((each, False) for each in MUTABLE), *((each, True) for each in STEADY)]
)
async def test_only_what_cannot_change_its_mind_has_a_token_to_watch_from(
    api: Api, box: Mailbox, asked: pb.EnvelopeFilter, is_there: bool
) -> None:
    listed = await pages(api, box.folder.name, filter=asked, page_size=1)
    pieces = await exported(api, box.folder.name, filter=asked)
    assert bool(listed[0].resume_token) is bool(pieces[0].resume_token) is is_there
    assert not any(page.resume_token for page in listed[1:])
    assert not any(piece.resume_token for piece in pieces[1:])


async def test_list_under_a_filter_then_watch_misses_nothing(api: Api, box: Mailbox) -> None:
    asked = pb.ListEnvelopesRequest(
        parent=box.folder.name, filter=pb.EnvelopeFilter(subject_contains="message"), page_size=2
    )
    box.add(*(message_of(uid) for uid in range(10, 20)))
    page = await api.envelopes.ListEnvelopes(asked)
    token, held = page.resume_token, {each.uid for each in page.envelopes}
    box.add(message_of(30))
    api.store.apply(Batch(box.account.key, (EnvelopesRemoved(box.folder.key, UidSet.of([12, 19])),)))
    while page.next_page_token:
        asked.page_token = page.next_page_token
        page = await api.envelopes.ListEnvelopes(asked)
        held |= {each.uid for each in page.envelopes}
    only = event_service_pb2.EventFilter(accounts=[box.account.name])
    async with watching(api, resume_token=token, filter=only) as watcher:
        for event in await watcher.until(head(api)):
            held |= {event.envelope_added.envelope.uid} - {0}
            held -= {uid for each in event.envelopes_removed.uids for uid in range(each.first, each.last + 1)}
    assert held == {10, 11, *range(13, 19), 30}


async def test_a_token_goes_on_under_its_own_filter_only(api: Api, box: Mailbox) -> None:
    asked = pb.ListEnvelopesRequest(
        parent=box.folder.name, filter=pb.EnvelopeFilter(text="angebot"), page_size=1
    )
    asked.page_token = (await api.envelopes.ListEnvelopes(asked)).next_page_token
    asked.filter.text = "straße"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.envelopes.ListEnvelopes(asked)
    assert reason(caught.value) == "PAGE_TOKEN_INVALID"


@pytest.fixture
def large(api: Api) -> Mailbox:
    """More than twice what one page may look at, with one hit near either end."""
    made = Mailbox.make(api.store, "large")
    last = 2 * SCAN_BUDGET.rows + 2_000
    for first in range(1, last, 2_000):
        made.backfill(
            *(
                message_of(uid, text="needle" if uid in {3, last - 3} else "")
                for uid in range(first, first + 2_000)
            )
        )
    return made


async def test_a_page_that_looked_long_enough_says_so_and_the_next_goes_on(api: Api, large: Mailbox) -> None:
    found = await pages(
        api, large.folder.name, filter=pb.EnvelopeFilter(subject_contains="NEEDLE"), page_size=10
    )
    assert uids(found) == [3, 2 * SCAN_BUDGET.rows + 1_997]
    assert len(found) > 2, "a page looks at no more than its budget"
    assert [page.scan_incomplete for page in found] == [True] * (len(found) - 1) + [False]
    assert all(page.next_page_token for page in found[:-1])
    assert any(not page.envelopes for page in found), "in the middle nothing passes"


@pytest.mark.parametrize("asking", [pages, exported])
async def test_rows_are_looked_at_beside_the_event_loop(
    api: Api, box: Mailbox, monkeypatch: pytest.MonkeyPatch, asking: Any
) -> None:
    threads: set[int] = set()
    passes = Wanted.passes

    def noting(self: Wanted, row: EnvelopeRow) -> bool:
        threads.add(threading.get_ident())
        return passes(self, row)

    monkeypatch.setattr(Wanted, "passes", noting)
    await asking(api, box.folder.name, filter=pb.EnvelopeFilter(text="angebot"))
    assert threads
    assert threading.get_ident() not in threads


async def test_a_page_that_is_full_is_not_incomplete(api: Api, large: Mailbox) -> None:
    asked = pb.ListEnvelopesRequest(
        parent=large.folder.name, filter=pb.EnvelopeFilter(subject_contains="message"), page_size=10
    )
    page = await api.envelopes.ListEnvelopes(asked)
    assert len(page.envelopes) == 10
    assert page.next_page_token
    assert not page.scan_incomplete


async def test_an_export_that_finds_nothing_for_long_says_how_far_it_is(api: Api, large: Mailbox) -> None:
    asked = pb.EnvelopeFilter(subject_contains="needle")
    whole = await exported(api, large.account.name, filter=asked)
    assert uids(whole) == [3, 2 * SCAN_BUDGET.rows + 1_997]
    empty = [index for index, piece in enumerate(whole) if piece.continue_token and not piece.envelopes]
    assert empty, "a stretch without a hit has its own tokens"
    assert whole[0].resume_token
    for index, piece in enumerate(whole[:-1], 1):
        rest = await exported(api, large.account.name, filter=asked, continue_token=piece.continue_token)
        assert uids(rest) == uids(whole[index:])


async def test_an_export_goes_on_behind_what_it_looked_at(
    api: Api, large: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = pb.EnvelopeFilter(subject_contains="nothing has this")
    pieces = await exported(api, large.account.name, filter=asked)
    starts: list[int] = []
    read = envelope_scan.page_of

    def noting(core: Any, folder: Any, which: Any, after: int, *rest: Any, **options: Any) -> Any:
        starts.append(after)
        return read(core, folder, which, after, *rest, **options)

    monkeypatch.setattr(export, "page_of", noting)
    await exported(api, large.account.name, filter=asked, continue_token=pieces[-2].continue_token)
    assert min(starts) > MAX_PAGE_SIZE, "what was looked at is not looked at again"


async def test_what_stays_and_passes_is_listed_once_whatever_changes_meanwhile(api: Api) -> None:
    box = Mailbox.make(api.store)
    box.backfill(*(message_of(uid, *(["\\Seen"] if uid % 2 else [])) for uid in range(1, 401)))
    seen, none = Flags.of(["\\Seen"]), Flags()
    asked = pb.ListEnvelopesRequest(
        parent=box.folder.name, filter=pb.EnvelopeFilter(flags_set=PLAIN(seen=True)), page_size=7
    )
    found: list[int] = []
    changed: set[int] = set()
    for step in range(1_000):
        page = await api.envelopes.ListEnvelopes(asked)
        found += [each.uid for each in page.envelopes]
        if not page.next_page_token:
            break
        asked.page_token = page.next_page_token
        # Every tenth message changes as the list goes by: half lose the flag, half get it, some go, and new ones come.
        ahead, behind = 400 - step * 10, 1_000 + step
        if ahead > 20:
            box.flag(ahead - 1, seen, none)
            box.flag(ahead - 2, none, seen)
            removal = EnvelopesRemoved(box.folder.key, UidSet.of([ahead - 3, 400 - step]))
            held = {row.uid for row in box.rows()}
            gone = UidSet.of(uid for uid in removal.uids if uid in held)
            if gone:
                api.store.apply(Batch(box.account.key, (EnvelopesRemoved(box.folder.key, gone),)))
            changed |= {ahead - 1, ahead - 2, *gone}
        box.add(message_of(behind, "\\Seen"))
    assert len(found) == len(set(found))
    assert {uid for uid in range(1, 401) if uid % 2} - changed <= set(found)
    assert set(found) - changed <= {uid for uid in range(1, 401) if uid % 2}
