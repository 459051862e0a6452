"""Filters of ListEnvelopes and ExportEnvelopes: what they let through, what they refuse, and where a watch may follow."""

from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.model.envelope import Address, Envelope, Partial, PartialReason
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from tests.support.api import Api, violations
from tests.support.listing import exported, pages, uids
from tests.support.store import START, Mailbox, message_of

DAY = 86_400
KIM, LEE, ANN = (
    Address("Kim Grün", "kim@a.example"),
    Address("", "Lee@B.example"),
    Address("ANN", "ann@c.example"),
)
PLAIN = envelope_pb2.Flags


@pytest.fixture
def api(api_of_each_engine: Api) -> Api:
    """The API over an empty store of each engine."""
    return api_of_each_engine


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
