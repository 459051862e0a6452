r"""What a change comes to when others change the same mailbox meanwhile: between two commands of it, and after them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailsync_grpc.v1 import envelope_pb2, errors_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from tests.support.changing import Desk, uids
from tests.support.hostile_faults import (
    closing,
    completing,
    meanwhile,
)
from tests.support.proxied import MESSAGES, held, proxied_desk, proxy

SEEN = envelope_pb2.Flags(seen=True)


@pytest.fixture(params=["mailbox"])
async def office(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk over an INBOX of 12 messages behind a proxy."""
    async with proxied_desk(request.getfixturevalue(request.param), tmp_path) as opened:
        yield opened


without_move = pytest.mark.parametrize("office", ["mailbox_without_move"], indirect=True)


def take_second(office: Desk) -> None:
    """The copies are made; one of them is taken away, and the answer is lost."""
    proxy(office).once(b"UID COPY", meanwhile(lambda: office.mailbox.expunge("2", "Sent")))
    proxy(office).once(b"UID COPY", closing(0))


def assert_second_unknown(
    office: Desk, response: pb.CopyEnvelopesResponse | pb.MoveEnvelopesResponse
) -> None:
    assert [(one.source_uid, one.destination_uid) for one in response.succeeded] == [(1, 1), (3, 3)]
    assert [(one.uid, one.reason) for one in response.failures] == [
        (2, errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN)
    ]
    assert held(office, "Sent") == [1, 3]


async def test_of_a_copy_that_was_made_in_part_the_rest_is_not_sent_again(office: Desk) -> None:
    """COPY is all or nothing: the rest may be on its way, or was there and somebody took it."""
    take_second(office)
    assert_second_unknown(office, await office.copy([1, 2, 3], "Sent"))


@without_move
async def test_of_a_move_whose_copies_were_made_in_part_the_rest_stays_where_it_was(office: Desk) -> None:
    take_second(office)
    assert_second_unknown(office, await office.move([1, 2, 3], "Sent"))
    assert held(office) == [2, *range(4, MESSAGES + 1)]


async def conditional(office: Desk) -> pb.ModifyFlagsResponse:
    """Flags added and removed where nobody else has changed the messages since they were looked at."""
    office.mailbox.store("1:3", r"+FLAGS.SILENT (\Flagged)")
    office.mailbox.store("3", r"+FLAGS.SILENT (\Seen)")  # so that the first half changes nothing of it
    await office.flag([4], add=SEEN)  # the mirror sees it
    modseq = office.mirror.folder()[1].modseq
    remove = envelope_pb2.Flags(flagged=True)
    return await office.flag([1, 2, 3], add=SEEN, remove=remove, unchanged_since=modseq)


def outcome(response: pb.ModifyFlagsResponse) -> tuple[list[int], list[tuple[int, int]]]:
    return uids(response.succeeded), [(one.uid, one.reason) for one in response.failures]


async def test_a_message_changed_between_the_two_halves_of_a_conditional_change_keeps_what_is_left(
    office: Desk,
) -> None:
    proxy(office).once(
        rb"UNCHANGEDSINCE \d+\) \+FLAGS", meanwhile(lambda: office.mailbox.store("2", "+FLAGS (theirs)"))
    )
    assert outcome(await conditional(office)) == ([1, 3], [(2, errors_pb2.ERROR_REASON_MODSEQ_CONFLICT)])
    assert office.mailbox.flags_by_uid()[1] == {"\\Seen"}
    assert office.mailbox.flags_by_uid()[2] == {"\\Seen", "\\Flagged", "theirs"}


@pytest.mark.parametrize("status", [b"OK", b"NO"])
async def test_messages_left_alone_are_told_so_whether_or_not_the_server_calls_that_a_refusal(
    office: Desk, status: bytes
) -> None:
    """RFC 7162 section 3.1.3 has examples of both."""
    proxy(office).once(
        rb"UID SEARCH .*UID 1:3$", meanwhile(lambda: office.mailbox.store("2", "+FLAGS (theirs)"))
    )
    proxy(office).once(rb"UNCHANGEDSINCE \d+\) \+FLAGS", completing(status + b" [MODIFIED 2] some were left"))
    assert outcome(await conditional(office)) == ([1, 3], [(2, errors_pb2.ERROR_REASON_MODSEQ_CONFLICT)])
    assert office.mailbox.flags_by_uid()[2] == {"\\Flagged", "theirs"}
    assert office.mailbox.flags_by_uid()[3] == {"\\Seen"}


GONE_MEANWHILE = rb"UID SEARCH .*UID 1:3$"
"""The command before the first that changes anything, which shows what is there."""


on_each_server = pytest.mark.parametrize(
    "office", ["mailbox", "mailbox_plain", "mailbox_without_move"], indirect=True
)


@on_each_server
async def test_flags_of_a_message_removed_by_others_just_before_the_command_fail_alone(office: Desk) -> None:
    proxy(office).once(GONE_MEANWHILE, meanwhile(lambda: office.mailbox.expunge("2")))
    response = await office.flag([1, 2, 3], add=SEEN)
    assert outcome(response) == ([1, 3], [(2, errors_pb2.ERROR_REASON_ENVELOPE_NOT_FOUND)])


@on_each_server
async def test_the_copy_of_a_message_removed_by_others_just_before_the_command_fails_alone(
    office: Desk,
) -> None:
    proxy(office).once(GONE_MEANWHILE, meanwhile(lambda: office.mailbox.expunge("2")))
    response = await office.copy([1, 2, 3], "Sent")
    assert [(one.source_uid, one.destination_uid) for one in response.succeeded] == [(1, 1), (3, 2)]
    assert [one.uid for one in response.failures] == [2]
    assert held(office, "Sent") == [1, 2]


@pytest.mark.parametrize("office", ["mailbox", "mailbox_without_move"], indirect=True)
async def test_the_move_of_a_message_removed_by_others_just_before_the_command_fails_alone(
    office: Desk,
) -> None:
    proxy(office).once(GONE_MEANWHILE, meanwhile(lambda: office.mailbox.expunge("2")))
    response = await office.move([1, 2, 3], "Sent")
    assert [(one.source_uid, one.destination_uid) for one in response.succeeded] == [(1, 1), (3, 2)]
    assert [one.uid for one in response.failures] == [2]
    assert held(office, "Sent") == [1, 2]
    assert held(office) == list(range(4, MESSAGES + 1))
