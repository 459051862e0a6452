"""Filters against a real mail server: what they let through of a mirror is what the server's own SEARCH finds."""

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.cli.demo.mailbox import deliveries
from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.model.window import SyncMode
from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from tests.support.api import Api, serving
from tests.support.mail import Mailbox
from tests.support.mirror import Mirror

COUNT, A_DAY = 200, 5
# SEARCH knows days only, by the server's own clock: at noon UTC it is the same day nearly everywhere.
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FLAGS = envelope_pb2.Flags


@pytest.fixture
def mirror(mailbox: Mailbox) -> Iterator[Mirror]:
    """A mirror of realistic mail, five messages a day."""
    mailbox.deliver(
        each._replace(internal_date=NOON + timedelta(days=number // A_DAY))
        for number, each in enumerate(deliveries(COUNT))
    )
    mailbox.store("1:9,77", "+FLAGS.SILENT ($Forwarded)")
    made = Mirror(mailbox)
    made.settle()
    yield made
    made.close()


@pytest.fixture
async def api(mirror: Mirror, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(mirror.store, tmp_path) as served:
        yield served


def search(mailbox: Mailbox, criteria: str, text: str = "") -> list[int]:
    """The UIDs of the server's UID SEARCH (RFC 3501 section 6.4.4); `text` is the last criterion's."""
    with mailbox.connect() as client:
        client.select("INBOX", readonly=True)
        if text:
            client.literal = text.encode()  # type: ignore[assignment] # imaplib sends it behind the command
        status, (found,) = client.uid("SEARCH", "CHARSET", "UTF-8", *criteria.split())
    assert status == "OK"
    return [int(uid) for uid in found.split()]


async def listed(api: Api, mirror: Mirror, **conditions: Any) -> list[int]:
    request = pb.ListEnvelopesRequest(
        parent=mirror.folder()[0].name,
        filter=pb.EnvelopeFilter(**conditions),
        order=pb.ENVELOPE_ORDER_UID_ASC,
        page_size=7,
    )
    found: list[int] = []
    while True:
        page = await api.envelopes.ListEnvelopes(request)
        found += [each.uid for each in page.envelopes]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def words(texts: Iterable[str]) -> set[str]:
    """Words without what a header has to quote, since SEARCH looks at it as it was sent."""
    return {word for text in texts for word in re.findall(r"\w{4,}", text)}


def midnight(days: int) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(NOON.replace(hour=0) + timedelta(days=days))
    return made


async def test_flags_are_those_that_search_finds(api: Api, mirror: Mirror, mailbox: Mailbox) -> None:
    asked = {
        "UNSEEN": {"flags_unset": FLAGS(seen=True)},
        "SEEN ANSWERED": {"flags_set": FLAGS(seen=True, answered=True)},
        "KEYWORD $Forwarded": {"flags_set": FLAGS(keywords=["$FORWARDED"])},
        "UNSEEN UNKEYWORD $Forwarded UNFLAGGED": {
            "flags_unset": FLAGS(seen=True, flagged=True, keywords=["$forwarded"])
        },
    }
    for criteria, conditions in asked.items():
        found = search(mailbox, criteria)
        assert 0 < len(found) < COUNT, f"{criteria} tells nothing apart"
        assert await listed(api, mirror, **conditions) == found, criteria
    mailbox.store("3,50,120", r"-FLAGS.SILENT (\Seen)")
    mirror.poll()
    assert {3, 50, 120} <= set(await listed(api, mirror, flags_unset=FLAGS(seen=True)))
    assert await listed(api, mirror, flags_unset=FLAGS(seen=True)) == search(mailbox, "UNSEEN")


async def test_dates_are_those_that_search_finds(api: Api, mirror: Mirror, mailbox: Mailbox) -> None:
    day = (NOON + timedelta(days=11)).strftime("%d-%b-%Y")
    later = (NOON + timedelta(days=15)).strftime("%d-%b-%Y")
    asked: dict[str, dict[str, Timestamp]] = {
        f"SINCE {day}": {"since": midnight(11)},
        f"BEFORE {day}": {"before": midnight(11)},
        f"SINCE {day} BEFORE {later}": {"since": midnight(11), "before": midnight(15)},
    }
    for criteria, conditions in asked.items():
        found = search(mailbox, criteria)
        assert 0 < len(found) < COUNT, f"{criteria} tells nothing apart"
        assert await listed(api, mirror, **conditions) == found, criteria


async def test_texts_are_those_that_search_finds(api: Api, mirror: Mirror, mailbox: Mailbox) -> None:
    envelopes = list(mirror.envelopes())
    people = [one for each in envelopes for one in getattr(each, "from")]
    authors = words(text for each in people for text in (each.display_name, each.address))
    subjects = words(each.subject for each in envelopes)
    ids = {each.message_id for each in envelopes[::40]}
    assert any(not text.isascii() for text in authors)
    assert any(not text.isascii() for text in subjects)
    for text in sorted(authors):
        assert await listed(api, mirror, from_contains=text.upper()) == search(mailbox, "FROM", text), text
    for text in sorted(subjects):
        found = search(mailbox, "SUBJECT", text)
        assert await listed(api, mirror, subject_contains=text.upper()) == found, text
    for text in sorted(ids):
        assert await listed(api, mirror, message_id=text) == search(mailbox, "HEADER Message-ID", text)


async def test_in_minimal_mode_flags_are_known_and_nothing_else_is(mailbox: Mailbox, tmp_path: Path) -> None:
    mailbox.deliver(deliveries(30))
    minimal = Mirror(mailbox, SyncSettings(mode=SyncMode.MINIMAL))
    minimal.settle()
    async with serving(minimal.store, tmp_path) as api:
        assert await listed(api, minimal, flags_unset=FLAGS(seen=True)) == search(mailbox, "UNSEEN")
        assert len(await listed(api, minimal)) == 30
        for conditions in (
            {"has_attachment": False},
            {"has_attachment": True},
            {"since": midnight(-9_000)},
            {"before": midnight(9_000)},
            {"text": "e"},
        ):
            assert await listed(api, minimal, **conditions) == []
    minimal.close()
