"""The audit log: one line for each call that manages or changes, whoever made it, with names and no content."""

import json
import stat
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from mailsync_grpc.errors import ConfigError
from mailsync_grpc.model.access import Scope
from mailsync_grpc.services.audit import MAX_NAMES, STRANGER, Audit, Entry, resources
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import account_pb2, folder_service_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from mailsync_grpc.v1 import system_service_pb2 as system
from tests.support.accounts import account
from tests.support.api import Api, serving
from tests.support.callers import admit, bearing, token_of
from tests.support.store import ManualClock

ADMIN, READER = bearing(1), bearing(2)
REQUEST_ID = "0f9d9a52-5f60-4f0e-8a43-3a4bb0c9c6b2"


@pytest.fixture
async def audited(tmp_path: Path) -> AsyncIterator[Api]:
    """An API with an audit file, an administrator and one who may only read."""
    store = MemoryStore()
    admit(store, token_of(1), token_of(2, Scope.READ_METADATA))
    async with serving(store, tmp_path, audit_file=tmp_path / "audit.jsonl") as api:
        yield api


def lines(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text("ascii").splitlines()]


async def test_a_call_that_changes_something_is_told_with_who_made_it_and_of_what(
    audited: Api, tmp_path: Path
) -> None:
    request = pb.CreateAccountRequest(account=account(), account_id="acme", request_id=REQUEST_ID)
    await audited.accounts.CreateAccount(request, metadata=ADMIN)
    (line,) = lines(tmp_path)
    assert line.pop("time").endswith("+00:00")
    assert line.pop("peer").startswith("unix:")
    assert line == {
        "caller": token_of(1).name,
        "method": "AccountService.CreateAccount",
        "resources": ["accounts/acme", "accounts/acme/syncRuns/1"],
        "outcome": "OK",
        "request_id": REQUEST_ID,
    }


async def test_reads_are_not_told(audited: Api, tmp_path: Path) -> None:
    await audited.accounts.ListAccounts(pb.ListAccountsRequest(), metadata=ADMIN)
    await audited.system.ListTokens(system.ListTokensRequest(), metadata=ADMIN)
    assert lines(tmp_path) == []


@pytest.mark.parametrize(
    ("metadata", "caller", "outcome"),
    [
        ((), "unknown", "UNAUTHENTICATED"),
        (READER, token_of(2).name, "PERMISSION_DENIED"),
        (ADMIN, token_of(1).name, "NOT_FOUND"),
    ],
)
async def test_what_was_refused_is_told_too(
    audited: Api, tmp_path: Path, metadata: Any, caller: str, outcome: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await audited.accounts.PauseAccount(pb.PauseAccountRequest(name="accounts/none"), metadata=metadata)
    (line,) = lines(tmp_path)
    assert (line["caller"], line["outcome"]) == (caller, outcome)
    assert line["resources"] == ["accounts/none"]


async def test_no_secret_and_nothing_that_ends_a_line_gets_in(audited: Api, tmp_path: Path) -> None:
    made = await audited.system.CreateToken(
        system.CreateTokenRequest(token=system.Token(scopes=[system.TOKEN_SCOPE_ADMIN])), metadata=ADMIN
    )
    forged = 'accounts/x\n{"caller": "forged"}'
    sent = account(display_name=forged, labels={"a": "accounts/label"})
    sent.name = forged
    for request in (
        pb.CreateAccountRequest(account=sent, account_id="a\nb", request_id="\x1b[31m\n"),
        pb.CreateAccountRequest(account=account(), account_id="acme"),
    ):
        try:
            await audited.accounts.CreateAccount(request, metadata=ADMIN)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017 - one of the two is refused
    text = (tmp_path / "audit.jsonl").read_text("ascii")
    assert len(lines(tmp_path)) == 3
    for secret in (made.secret, "secret-1", "right", "forged", "label", "[31m"):
        assert secret not in text
    assert lines(tmp_path)[0]["resources"] == [made.token.name]


def test_the_file_is_its_owners_alone_and_may_be_moved_away(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    audit, entry = Audit(file), Entry("tokens/a", "ipv4:127.0.0.1:1", "X.Y", (), "OK", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    audit.write(entry)
    file.rename(tmp_path / "audit.jsonl.1")
    audit.write(entry)
    assert len(lines(tmp_path)) == 1


def test_a_file_that_cannot_be_written_is_named_at_the_start_and_fails_no_call_later(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="audit_file="):
        Audit(tmp_path / "none" / "audit.jsonl")
    directory = tmp_path / "logs"
    directory.mkdir()
    audit = Audit(directory / "audit.jsonl")
    (directory / "audit.jsonl").unlink()
    directory.rmdir()
    audit.write(Entry("tokens/a", "", "X.Y", (), "OK", ""))


def test_strangers_do_not_fill_the_disk(tmp_path: Path) -> None:
    clock = ManualClock()
    audit = Audit(tmp_path / "audit.jsonl", clock)
    for caller in [STRANGER] * 1_000 + ["tokens/a"] * 200:
        audit.write(Entry(caller, "", "X.Y", (), "UNAUTHENTICATED", ""))
    assert Counter(line["caller"] for line in lines(tmp_path)) == {STRANGER: 100, "tokens/a": 200}
    clock.now += 5
    for _ in range(10):
        audit.write(Entry(STRANGER, "", "X.Y", (), "UNAUTHENTICATED", ""))
    assert len(lines(tmp_path)) == 305


def test_a_line_names_what_was_asked_for_each_once_and_not_without_end() -> None:
    many = [f"accounts/a/folders/{number:016}" for number in range(MAX_NAMES + 5)]
    select = folder_service_pb2.SelectFoldersRequest(parent="accounts/a", select=many, deselect=many)
    found = resources(select, None, b"bytes")
    assert found[:2] == ("accounts/a", many[0])
    assert len(found) == MAX_NAMES
    change = pb.UpdateAccountRequest(account=account_pb2.Account(name="accounts/a"))
    assert resources(change, pb.UpdateAccountResponse(account=change.account)) == ("accounts/a",)
