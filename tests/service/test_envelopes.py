"""EnvelopeService: pages of joined bytes are the envelopes, in order, bounded, and nothing is skipped or doubled."""

from typing import Any

import grpc
import pytest

from mailsync_grpc.model.ids import encode_id, envelope_name
from mailsync_grpc.store.codec.envelope import encode_envelope
from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from tests.support.api import Api, reason, violations
from tests.support.store import Mailbox, envelope_of, message_of


async def pages(api: Api, parent: str, **request: Any) -> list[pb.ListEnvelopesResponse]:
    asked = pb.ListEnvelopesRequest(parent=parent, **request)
    found: list[pb.ListEnvelopesResponse] = []
    while not found or asked.page_token:
        found.append(await api.envelopes.ListEnvelopes(asked))
        asked.page_token = found[-1].next_page_token
    return found


def uids(found: list[pb.ListEnvelopesResponse]) -> list[int]:
    return [envelope.uid for page in found for envelope in page.envelopes]


@pytest.fixture
def box(api: Api) -> Mailbox:
    made = Mailbox.make(api.store)
    made.backfill(*(message_of(uid, "\\Seen") for uid in range(3, 103)))
    return made


@pytest.mark.parametrize("size", [1, 7, 99, 100, 0, 100_000])
async def test_every_envelope_is_listed_once_newest_first(api: Api, box: Mailbox, size: int) -> None:
    found = await pages(api, box.folder.name, page_size=size)
    assert uids(found) == list(range(102, 2, -1))
    assert all(len(page.envelopes) <= (size or 100) for page in found)
    assert found[0].resume_token
    assert not any(page.resume_token for page in found[1:])
    assert {page.read_revision for page in found} == {api.store.stats().log_head}


async def test_they_are_listed_oldest_first_when_asked(api: Api, box: Mailbox) -> None:
    found = await pages(api, box.folder.name, page_size=30, order=pb.ENVELOPE_ORDER_UID_ASC)
    assert uids(found) == list(range(3, 103))


async def test_a_listed_envelope_is_what_its_parts_say(api: Api, box: Mailbox) -> None:
    (page,) = await pages(api, box.folder.name, view=envelope_pb2.ENVELOPE_VIEW_FULL)
    listed = page.envelopes[0]
    basic, detail = encode_envelope(envelope_of(102))
    expected = envelope_pb2.Envelope.FromString(basic + detail)
    expected.name = envelope_name("acme", box.folder.id, 77, 102)
    expected.uid, expected.uid_validity = 102, 77
    expected.envelope_id = encode_id(message_of(102).envelope_id)
    expected.flags.seen = True
    assert listed == expected


@pytest.mark.parametrize(
    ("view", "subject", "references"),
    [
        (envelope_pb2.ENVELOPE_VIEW_FLAGS, False, False),
        (envelope_pb2.ENVELOPE_VIEW_UNSPECIFIED, True, False),
        (envelope_pb2.ENVELOPE_VIEW_BASIC, True, False),
        (envelope_pb2.ENVELOPE_VIEW_FULL, True, True),
    ],
)
async def test_a_view_holds_what_it_says(
    api: Api, box: Mailbox, view: envelope_pb2.EnvelopeView, subject: bool, references: bool
) -> None:
    page = (await pages(api, box.folder.name, view=view))[0]
    listed = page.envelopes[0]
    assert listed.flags.seen
    assert listed.envelope_id
    assert bool(listed.subject) is subject
    assert bool(listed.references) is references


async def test_a_page_ends_at_a_mebibyte(api: Api) -> None:
    box = Mailbox.make(api.store)
    box.backfill(*(message_of(uid, text="x" * 100_000) for uid in range(1, 31)))
    found = await pages(api, box.folder.name, page_size=1_000)
    assert uids(found) == list(range(30, 0, -1))
    assert len(found) > 1
    assert all(page.ByteSize() < 1_200_000 for page in found)


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
async def test_uids_limit_a_listing_to_what_they_name(
    api: Api, box: Mailbox, ascending: bool, size: int
) -> None:
    order = pb.ENVELOPE_ORDER_UID_ASC if ascending else pb.ENVELOPE_ORDER_UID_DESC
    ranges = [
        envelope_pb2.UidRange(first=a, last=b) for a, b in ((1, 4), (50, 50), (60, 62), (101, 4_000_000_000))
    ]
    found = await pages(
        api, box.folder.name, filter=pb.EnvelopeFilter(uids=ranges), page_size=size, order=order
    )
    wanted = [3, 4, 50, 60, 61, 62, 101, 102]
    assert uids(found) == (wanted if ascending else wanted[::-1])


async def test_an_order_that_is_not_built_is_refused_by_name(api: Api, box: Mailbox) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pages(api, box.folder.name, order=pb.ENVELOPE_ORDER_DATE_DESC)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert str(caught.value.details()).startswith("order by date: it needs an index")


async def test_an_order_that_is_none_is_refused(api: Api, box: Mailbox) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pages(api, box.folder.name, order=9)
    assert violations(caught.value) == {"order": "a value of EnvelopeOrder"}


async def test_an_envelope_is_found_by_both_forms_of_its_name(api: Api, box: Mailbox) -> None:
    by_place = await api.envelopes.GetEnvelope(
        pb.GetEnvelopeRequest(name=envelope_name("acme", box.folder.id, 77, 50))
    )
    by_id = await api.envelopes.GetEnvelope(
        pb.GetEnvelopeRequest(name=f"accounts/acme/envelopes/{by_place.envelope.envelope_id}")
    )
    assert by_place.envelope == by_id.envelope
    assert by_place.envelope.uid == 50
    assert by_place.envelope.references


@pytest.mark.parametrize(
    ("name", "code", "why"),
    [
        ("{folder}/envelopes/77.2", grpc.StatusCode.NOT_FOUND, "ENVELOPE_NOT_FOUND"),
        ("{folder}/envelopes/76.50", grpc.StatusCode.FAILED_PRECONDITION, "UID_VALIDITY_CHANGED"),
        ("{folder}/envelopes/77.0", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ("accounts/acme/envelopes/aaaaaaaaaaaaaaaa", grpc.StatusCode.NOT_FOUND, "ENVELOPE_NOT_FOUND"),
        (
            "accounts/acme/folders/aaaaaaaaaaaaaaaa/envelopes/1.1",
            grpc.StatusCode.NOT_FOUND,
            "FOLDER_NOT_FOUND",
        ),
        ("accounts/none/envelopes/aaaaaaaaaaaaaaaa", grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND"),
        ("accounts/acme", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    ],
)
async def test_an_envelope_that_is_not_there_says_why(
    api: Api, box: Mailbox, name: str, code: grpc.StatusCode, why: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.envelopes.GetEnvelope(pb.GetEnvelopeRequest(name=name.format(folder=box.folder.name)))
    assert (caught.value.code(), reason(caught.value)) == (code, why)
