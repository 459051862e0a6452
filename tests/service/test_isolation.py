"""Nobody else's mail: a token of one account learns nothing of another, not even that it is there."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from mailsync_grpc.model.access import EVERY_SCOPE, Reach, Scope
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import AccountChanged, SyncRunChanged
from mailsync_grpc.model.ids import encode_id, envelope_name
from mailsync_grpc.store.base import Batch
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import account_pb2, folder_service_pb2, system_service_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.accounts import account
from tests.support.api import Api, reason, serving, violations
from tests.support.callers import admit, bearing, token_of
from tests.support.methods import METHODS, Told, call
from tests.support.store import Mailbox, message_of, run_of

LIMITED = EVERY_SCOPE - {Scope.ADMIN}
OURS, ANYONE, LABELLED = bearing(1), bearing(2), bearing(3)
TENANT = {"tenant": "a"}

OWN = {"folder": "{own}"}
MINE = {**OWN, "uidValidity": 77, "uids": [{"first": 1, "last": 1}]}
FOREIGN = {**MINE, "folder": "{folder}"}
# What each call is asked for; {account}, {folder}, {envelope}, {id} and {run} are names of the other account, {own} is
# a folder of the caller's.
REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "AccountService.CreateAccount": {
        "accountId": "{account_id}",
        "account": {"imap": {"host": "imap.example.org"}},
    },
    "AccountService.GetAccount": {"name": "{account}"},
    "AccountService.ListAccounts": {},
    "AccountService.UpdateAccount": {"account": {"name": "{account}", "displayName": "x"}},
    "AccountService.DeleteAccount": {"name": "{account}"},
    "AccountService.PauseAccount": {"name": "{account}"},
    "AccountService.ResumeAccount": {"name": "{account}"},
    "AccountService.BeginAuthorization": {"account": "{account}", "redirectUri": "http://localhost/"},
    "AccountService.CompleteAuthorization": {"state": "s", "code": "c"},
    "AccountService.DiscoverSettings": {},
    "AccountService.StartSync": {"name": "{account}"},
    "AccountService.GetSyncRun": {"name": "{run}"},
    "AccountService.ListSyncRuns": {"parent": "{account}"},
    "AccountService.CancelSyncRun": {"name": "{run}"},
    "FolderService.ListFolders": {"parent": "{account}"},
    "FolderService.GetFolder": {"name": "{folder}"},
    "FolderService.UpdateFolder": {"folder": {"name": "{folder}"}, "updateMask": "selected"},
    "FolderService.SelectFolders": {"parent": "{account}", "select": ["{folder}"]},
    "FolderService.CreateFolder": {"parent": "{account}"},
    "FolderService.RenameFolder": {"name": "{folder}"},
    "FolderService.DeleteFolder": {"name": "{folder}"},
    "FolderService.Subscribe": {"name": "{folder}"},
    "FolderService.Unsubscribe": {"name": "{folder}"},
    "EnvelopeService.GetEnvelope": {"name": "{envelope}"},
    "EnvelopeService.ListEnvelopes": {"parent": "{folder}"},
    "EnvelopeService.ExportEnvelopes": {"parent": "{folder}"},
    "EnvelopeService.ListThreads": {"parent": "{account}"},
    "EnvelopeService.ModifyFlags": {"selection": FOREIGN, "add": {"seen": True}},
    "EnvelopeService.MoveEnvelopes": {"selection": {"folder": "{folder}"}},
    "EnvelopeService.CopyEnvelopes": {"selection": {"folder": "{folder}"}},
    "EnvelopeService.DeleteEnvelopes": {"selection": {"folder": "{folder}"}},
    "EnvelopeService.AppendMessage": {"header": {"parent": "{folder}"}},
    "ContentService.DownloadContent": {"name": "{envelope}", "section": "1"},
    "EventService.WatchEvents": {"filter": {"accounts": ["{account}"]}},
    "EventService.GetEventLog": {"filter": {"accounts": ["{account}"]}},
    "SystemService.GetServerInfo": {},
    "SystemService.GetStats": {"includeAccounts": True},
    "SystemService.CreateToken": {
        "token": {"scopes": ["TOKEN_SCOPE_READ_METADATA"], "accounts": ["{account}"]}
    },
    "SystemService.ListTokens": {},
    "SystemService.RevokeToken": {"name": "tokens/aaaaaaaaaaaaaaab"},
    "SystemService.PurgeContentCache": {"account": "{account}"},
}
OTHERWISE = {
    "AccountService.StartSync": {"name": "accounts/ours", "folders": ["{folder}"]},
    "FolderService.SelectFolders": {"parent": "accounts/ours", "select": ["{folder}"]},
    "EnvelopeService.GetEnvelope": {"name": "{id}"},
    "EnvelopeService.ListEnvelopes": {"parent": "{folder}", "filter": {"text": "message"}},
    "EnvelopeService.ExportEnvelopes": {"parent": "{account}", "filter": {"flagsUnset": {"seen": True}}},
    "ContentService.DownloadContent": {"name": "{id}", "section": "1"},
    "EventService.WatchEvents": {"filter": {"folders": ["{folder}"]}},
    "EventService.GetEventLog": {"filter": {"folders": ["{folder}"]}},
    "FolderService.CreateFolder": {"parent": "{account}", "path": "new"},
    "FolderService.RenameFolder": {"name": "{folder}", "newPath": "new", "etag": "x"},
    "FolderService.DeleteFolder": {"name": "{folder}", "etag": "x"},
    "EnvelopeService.ModifyFlags": {"selection": {"names": ["{envelope}"], **OWN}, "add": {"seen": True}},
    "EnvelopeService.DeleteEnvelopes": {"selection": FOREIGN, "mode": "DELETE_MODE_TRASH"},
    "EnvelopeService.MoveEnvelopes": {"selection": MINE, "destination": "{folder}"},
    "EnvelopeService.CopyEnvelopes": {"selection": MINE, "destination": "{folder}"},
    "EnvelopeService.AppendMessage": {"header": {"parent": "{folder}", "size": 1}},
}
CASES = [*REQUESTS.items(), *OTHERWISE.items()]


@dataclass(frozen=True, slots=True)
class Names:
    """Names in an account that is there, or that is not."""

    account_id: str
    folder_id: bytes
    envelope_id: bytes
    run: int
    own: str

    def fill(self, request: Any) -> Any:
        """Return the request with the names put in."""
        match request:
            case str():
                return re.sub(r"\{(\w+)\}", lambda found: self._named()[found[1]], request)
            case list():
                return [self.fill(each) for each in request]
            case dict():
                return {key: self.fill(value) for key, value in request.items()}
        return request

    def _named(self) -> dict[str, str]:
        name = f"accounts/{self.account_id}"
        return {
            "account_id": self.account_id,
            "account": name,
            "folder": f"{name}/folders/{encode_id(self.folder_id)}",
            "envelope": envelope_name(self.account_id, self.folder_id, 77, 1),
            "id": f"{name}/envelopes/{encode_id(self.envelope_id)}",
            "run": f"{name}/syncRuns/{self.run}",
            "own": self.own,
        }

    def masked(self, told: Told) -> Told:
        """Return the answer with the one thing in it that must differ, the account's id, put out of sight."""
        own = self.account_id
        return told._replace(
            message=told.message.replace(own, "*" * len(own)),
            details=told.details.replace(own.encode(), b"*" * len(own)),
        )


@dataclass(frozen=True, slots=True)
class Two:
    """An API with two accounts of the same shape, and names of a third that is not there."""

    api: Api
    ours: Mailbox
    theirs: Names
    unknown: Names


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    """Token 1 is for the account `ours`, token 2 for all, token 3 for accounts with the label of a tenant."""
    store = MemoryStore()
    ours, theirs = Mailbox.make(store, "ours"), Mailbox.make(store, "theirs")
    for box in (ours, theirs):
        box.add(message_of(1))
    run = run_of(store, theirs.account.key)
    store.apply(Batch(theirs.account.key, (SyncRunChanged(run),)))
    admit(
        store,
        token_of(1, *LIMITED, reach=Reach((ours.account.key,))),
        token_of(2),
        token_of(3, *LIMITED, reach=Reach(labels=TENANT)),
    )
    names = Names("theirs", theirs.folder.id, message_of(1).envelope_id, run.no, ours.folder.name)
    async with serving(store, tmp_path) as api:
        yield Two(api, ours, names, replace(names, account_id="nobody"))


def label(box: Mailbox, **labels: str) -> Account:
    box.account = replace(box.account, version=box.account.version + 1, labels=labels)
    box.store.apply(Batch(box.account.key, (AccountChanged(box.account),)))
    return box.account


def test_every_call_of_the_contract_is_asked() -> None:
    assert set(REQUESTS) == set(METHODS)


@pytest.mark.parametrize(
    ("method", "request_"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.parametrize("caller", [OURS, LABELLED], ids=["of an account", "of a label"])
async def test_tenant_isolation(two: Two, method: str, request_: Mapping[str, Any], caller: Any) -> None:
    """What is another's is answered byte for byte as what is not there."""
    other = await call(two.api.channel, method, two.theirs.fill(request_), caller)
    unknown = await call(two.api.channel, method, two.unknown.fill(request_), caller)
    assert two.theirs.masked(other) == two.unknown.masked(unknown)
    if two.theirs.fill(request_) != request_:
        assert other.code is not grpc.StatusCode.OK


@pytest.mark.parametrize(
    "method", ["AccountService.GetAccount", "FolderService.GetFolder", "EnvelopeService.GetEnvelope"]
)
async def test_whoever_may_see_an_account_is_answered(two: Two, method: str) -> None:
    """The test above would pass on a server that answers nobody."""
    request = two.theirs.fill(REQUESTS[method])
    assert (await call(two.api.channel, method, request, ANYONE)).code is grpc.StatusCode.OK
    assert (await call(two.api.channel, method, request, OURS)).code is grpc.StatusCode.NOT_FOUND


async def test_lists_hold_what_the_caller_may_see(two: Two) -> None:
    label(two.ours, **TENANT)
    for caller, expected in ((OURS, ["ours"]), (ANYONE, ["ours", "theirs"]), (LABELLED, ["ours"])):
        listed = await two.api.accounts.ListAccounts(pb.ListAccountsRequest(page_size=1), metadata=caller)
        found = [each.name for each in listed.accounts]
        while listed.next_page_token:
            request = pb.ListAccountsRequest(page_size=1, page_token=listed.next_page_token)
            listed = await two.api.accounts.ListAccounts(request, metadata=caller)
            found += [each.name for each in listed.accounts]
        assert found == [f"accounts/{name}" for name in expected]


async def test_a_page_token_of_another_caller_is_refused(two: Two) -> None:
    listed = await two.api.accounts.ListAccounts(pb.ListAccountsRequest(page_size=1), metadata=ANYONE)
    request = pb.ListAccountsRequest(page_size=1, page_token=listed.next_page_token)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await two.api.accounts.ListAccounts(request, metadata=OURS)
    assert reason(caught.value) == "PAGE_TOKEN_INVALID"


async def test_stats_count_what_the_caller_may_see(two: Two) -> None:
    request = system_service_pb2.GetStatsRequest(include_accounts=True)
    stats = await two.api.system.GetStats(request, metadata=OURS)
    assert [summary.name for summary in stats.accounts] == ["accounts/ours"]
    assert [each.count for each in stats.accounts_by_state] == [1]
    assert (stats.store.size, stats.event_log.size, stats.watch.streams) == (0, 0, 0)
    whole = await two.api.system.GetStats(request, metadata=ANYONE)
    assert [each.count for each in whole.accounts_by_state] == [2]


async def test_another_callers_recorded_answer_is_not_told(two: Two) -> None:
    request = pb.PauseAccountRequest(
        name=two.theirs.fill("{account}"), request_id="6f1f0c3e-8c3f-4d6e-9d0a-0d5f6a2b7c11"
    )
    await two.api.accounts.PauseAccount(request, metadata=ANYONE)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await two.api.accounts.PauseAccount(request, metadata=OURS)
    assert reason(caught.value) == "ACCOUNT_NOT_FOUND"


async def test_a_token_of_some_accounts_creates_none(two: Two) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await two.api.accounts.CreateAccount(pb.CreateAccountRequest(account=account()), metadata=OURS)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert not two.api.mail.tried


async def test_a_token_of_a_label_creates_accounts_that_bear_it(two: Two) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await two.api.accounts.CreateAccount(pb.CreateAccountRequest(account=account()), metadata=LABELLED)
    assert set(violations(caught.value)) == {"account.labels"}
    request = pb.CreateAccountRequest(account=account(labels=TENANT))
    created = await two.api.accounts.CreateAccount(request, metadata=LABELLED)
    await two.api.accounts.GetAccount(pb.GetAccountRequest(name=created.account.name), metadata=LABELLED)


async def test_a_token_of_a_label_learns_no_id_by_trying_it(two: Two) -> None:
    for account_id in ("theirs", "nobody"):
        request = pb.CreateAccountRequest(account=account(labels=TENANT), account_id=account_id)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await two.api.accounts.CreateAccount(request, metadata=LABELLED)
        assert set(violations(caught.value)) == {"account_id"}


async def test_a_token_of_a_label_hands_no_account_to_another_tenant(two: Two) -> None:
    label(two.ours, **TENANT)
    change = account_pb2.Account(name=two.ours.account.name, labels={"tenant": "b"})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await two.api.accounts.UpdateAccount(pb.UpdateAccountRequest(account=change), metadata=LABELLED)
    assert set(violations(caught.value)) == {"account.labels"}


async def test_a_change_of_labels_counts_at_once(two: Two) -> None:
    request = folder_service_pb2.ListFoldersRequest(parent="accounts/ours")
    label(two.ours, **TENANT)
    await two.api.folders.ListFolders(request, metadata=LABELLED)
    label(two.ours)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await two.api.folders.ListFolders(request, metadata=LABELLED)
    assert reason(caught.value) == "ACCOUNT_NOT_FOUND"
