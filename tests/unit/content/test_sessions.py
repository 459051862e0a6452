"""Connections for reading: used again, and renewed when stale."""

import asyncio
import threading
from dataclasses import replace

import pytest

from mailsync_grpc.errors import (
    EnvelopeNotFoundError,
    ImapAuthError,
    ImapRefusedError,
    ImapUnreachableError,
    PartNotFoundError,
    UidValidityChangedError,
)
from mailsync_grpc.imap.reading import Reading
from mailsync_grpc.imap.sessions import Sessions, Wish
from tests.unit.content.fakes import account, folder
from tests.unit.content.session_fakes import FakeServer, look_for


async def test_reads_of_one_folder_share_login_and_examine(sessions: Sessions, server: FakeServer) -> None:
    for _ in range(3):
        assert await sessions.read(account(), folder(), look_for) == "1.2"
    assert len(server.connections) == 1
    assert server.examined == [b"Folder 1"]


async def test_another_folder_is_examined_on_the_same_connection(
    sessions: Sessions, server: FakeServer
) -> None:
    for number in (1, 2, 2, 1):
        await sessions.read(account(), folder(number), look_for)
    assert len(server.connections) == 1
    assert server.examined == [b"Folder 1", b"Folder 2", b"Folder 1"]


async def test_a_message_newer_than_the_view_is_found_by_a_new_one(
    sessions: Sessions, server: FakeServer
) -> None:
    await sessions.read(account(), folder(), look_for)
    server.uids.add(2)
    assert await sessions.read(account(), folder(), lambda connection: look_for(connection, 2)) == "1.2"
    assert len(server.connections) == 1
    with pytest.raises(EnvelopeNotFoundError):
        await sessions.read(account(), folder(), lambda connection: look_for(connection, 3))


async def test_a_connection_that_idled_to_death_is_replaced(sessions: Sessions, server: FakeServer) -> None:
    await sessions.read(account(), folder(), look_for)
    server.hangs_up = 1
    assert await sessions.read(account(), folder(), look_for) == "1.2"
    assert len(server.connections) == 2


async def test_a_server_that_hangs_up_on_new_connections_is_unreachable(
    sessions: Sessions, server: FakeServer
) -> None:
    await sessions.read(account(), folder(), look_for)
    server.hangs_up = 2
    with pytest.raises(ImapUnreachableError):
        await sessions.read(account(), folder(), look_for)


async def test_a_folder_that_was_renumbered_is_refused_until_the_caller_knows(
    sessions: Sessions, server: FakeServer
) -> None:
    server.uid_validity = 8
    with pytest.raises(UidValidityChangedError):
        await sessions.read(account(), folder(), look_for)
    assert await sessions.read(account(), folder(uid_validity=8), look_for) == "1.2"
    assert len(server.connections) == 1


async def test_a_refusal_keeps_the_connection_and_forgets_the_folder(
    sessions: Sessions, server: FakeServer
) -> None:
    await sessions.read(account(), folder(), look_for)
    refused = replace(folder(), raw_name=b"refused")
    with pytest.raises(ImapRefusedError):
        await sessions.read(account(), refused, look_for)
    await sessions.read(account(), folder(), look_for)
    assert len(server.connections) == 1
    assert server.examined == [b"Folder 1", b"refused", b"Folder 1"]


async def test_what_a_reader_does_not_find_costs_no_connection(
    sessions: Sessions, server: FakeServer
) -> None:
    def missing(_connection: Reading) -> None:
        raise PartNotFoundError("9")

    for _ in range(2):
        with pytest.raises(PartNotFoundError):
            await sessions.read(account(), folder(), missing)
    assert len(server.connections) == 1


async def test_a_changed_account_gets_a_new_login(sessions: Sessions, server: FakeServer) -> None:
    await sessions.read(account(version=1), folder(), look_for)
    await sessions.read(account(version=2), folder(), look_for)
    await sessions.read(account(no=2), folder(), look_for)
    assert len(server.connections) == 3


async def test_a_refused_login_is_told(sessions: Sessions, server: FakeServer) -> None:
    server.refuses_login = True
    with pytest.raises(ImapAuthError):
        await sessions.read(account(), folder(), look_for)


async def test_a_message_is_read_on_the_connection_that_read_it_last(sessions: Sessions) -> None:
    def who(connection: Reading) -> Reading:
        return connection

    both = threading.Barrier(2, timeout=10)

    def meet(connection: Reading) -> Reading:
        both.wait()
        return connection

    first, second = await asyncio.gather(
        *(sessions.read(account(), folder(), meet, Wish(uid)) for uid in (1, 2))
    )
    assert first is not second
    for uid, own in ((1, first), (2, second), (2, second), (1, first)):
        assert await sessions.read(account(), folder(), who, Wish(uid)) is own


async def test_what_is_to_be_fresh_is_read_in_a_new_view(sessions: Sessions, server: FakeServer) -> None:
    await sessions.read(account(), folder(), look_for)
    server.uids.clear()
    assert await sessions.read(account(), folder(), look_for) == "1.2", "as the old view shows it"
    with pytest.raises(EnvelopeNotFoundError):
        await sessions.read(account(), folder(), look_for, Wish(fresh=True))
