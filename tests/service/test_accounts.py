"""AccountService: accounts are created after a login, edited with care, paused, deleted; every fault is named."""

from uuid import uuid4

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2

from mailsync_grpc.errors import ImapAuthError, ImapTlsError, ImapUnreachableError
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.v1 import account_pb2, folder_pb2, sync_run_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.accounts import account, create
from tests.support.api import Api, detail, reason, violations


async def test_a_created_account_is_readable_without_its_password_and_has_its_first_sync(api: Api) -> None:
    response = await api.accounts.CreateAccount(pb.CreateAccountRequest(account=account(), account_id="acme"))
    assert response.account.name == "accounts/acme"
    assert response.account.imap.port == 993
    assert response.account.sync.poll_interval == Duration(seconds=30)
    assert response.account.username == "me"
    assert list(response.account.capabilities) == ["IDLE", "IMAP4REV1"]
    assert not response.account.HasField("auth")
    read = await api.accounts.GetAccount(pb.GetAccountRequest(name="accounts/acme"))
    assert read.account == response.account
    run = await api.accounts.GetSyncRun(pb.GetSyncRunRequest(name=response.sync_run))
    assert (run.sync_run.kind, run.sync_run.state) == (
        sync_run_pb2.SYNC_RUN_KIND_INITIAL,
        sync_run_pb2.SYNC_RUN_STATE_PENDING,
    )
    stored = api.store.account("acme")
    assert stored is not None
    assert api.core.vault.open_password(stored.no, stored.sealed_credentials) == "right"


async def test_the_server_makes_an_id_when_none_is_given(api: Api) -> None:
    created = await create(api, "")
    assert len(created.name) == len("accounts/") + 16


async def test_validate_only_shows_the_folders_in_tree_order_and_keeps_nothing(api: Api) -> None:
    request = pb.CreateAccountRequest(account=account(), account_id="acme", validate_only=True)
    response = await api.accounts.CreateAccount(request)
    assert [(folder.path, folder.selected) for folder in response.folders] == [
        ("INBOX", True),
        ("INBOX/Lists", False),
        ("Sent", True),
    ]
    assert response.folders[1].parent == response.folders[0].name
    assert response.folders[2].special_use == folder_pb2.SPECIAL_USE_SENT
    assert not response.sync_run
    assert api.store.accounts() == []
    assert api.store.stats().log_head == 0


@pytest.mark.parametrize(
    ("fault", "code", "name"),
    [
        (ImapUnreachableError("refused"), grpc.StatusCode.UNAVAILABLE, "IMAP_UNREACHABLE"),
        (ImapAuthError("no such user"), grpc.StatusCode.FAILED_PRECONDITION, "IMAP_AUTH_FAILED"),
        (ImapTlsError("certificate has expired"), grpc.StatusCode.FAILED_PRECONDITION, "IMAP_TLS_FAILED"),
    ],
)
async def test_a_failed_login_says_why_and_keeps_nothing(
    api: Api, fault: ImapUnreachableError, code: grpc.StatusCode, name: str
) -> None:
    api.mail.fault = fault
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(api)
    assert caught.value.code() is code
    assert caught.value.details() == str(fault)
    assert reason(caught.value) == name
    assert api.store.accounts() == []


async def test_every_wrong_field_is_named_at_once(api: Api) -> None:
    wrong = account_pb2.Account(
        display_name="x" * 201,
        email_address="nobody",
        imap=account_pb2.ImapEndpoint(
            port=70_000,
            security=account_pb2.IMAP_SECURITY_PLAINTEXT,
            tls=account_pb2.TlsSettings(ca_pem="not a certificate"),
        ),
        sync=account_pb2.SyncSettings(poll_interval=Duration(seconds=1), batch_size=7, flags_window=20_000),
        labels={"UPPER": "x"},
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.CreateAccount(pb.CreateAccountRequest(account=wrong, account_id="No"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert set(violations(caught.value)) == {
        "account_id",
        "account.display_name",
        "account.email_address",
        "account.imap.host",
        "account.imap.port",
        "account.imap.security",
        "account.imap.tls.ca_pem",
        "account.auth.password.username",
        "account.auth.password.password",
        "account.labels",
        "account.sync.poll_interval",
        "account.sync.batch_size",
        "account.sync.flags_window",
    }
    assert api.mail.tried == []


async def test_a_second_account_of_the_same_id_is_refused_before_any_login(api: Api) -> None:
    await create(api)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(api)
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert detail(caught.value, error_details_pb2.ResourceInfo).resource_name == "accounts/acme"
    assert len(api.mail.tried) == 1


async def test_a_repeated_request_id_returns_the_first_answer_and_changes_nothing(api: Api) -> None:
    request = pb.CreateAccountRequest(account=account(), request_id=str(uuid4()))
    first = await api.accounts.CreateAccount(request)
    head = api.store.stats().log_head
    assert await api.accounts.CreateAccount(request) == first
    assert api.store.stats().log_head == head
    events = api.store.log(Revision(0), 10, 1 << 20).records
    assert all(request.request_id.encode() in record.event for record in events)


async def test_a_request_id_of_another_request_is_refused(api: Api) -> None:
    request = pb.CreateAccountRequest(account=account(), request_id=str(uuid4()))
    await api.accounts.CreateAccount(request)
    request.account.display_name = "other"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.CreateAccount(request)
    assert reason(caught.value) == "REQUEST_ID_REUSED"


async def test_a_request_id_must_be_a_uuid(api: Api) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.PauseAccount(pb.PauseAccountRequest(name="accounts/acme", request_id="1"))
    assert set(violations(caught.value)) == {"request_id"}


async def test_a_delete_can_be_repeated_by_its_request_id(api: Api) -> None:
    await create(api)
    request = pb.DeleteAccountRequest(name="accounts/acme", request_id=str(uuid4()))
    await api.accounts.DeleteAccount(request)
    await api.accounts.DeleteAccount(request)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.GetAccount(pb.GetAccountRequest(name="accounts/acme"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    info = detail(caught.value, error_details_pb2.ResourceInfo)
    assert (info.resource_type, info.resource_name) == ("account", "accounts/acme")


async def test_accounts_are_listed_by_pages_in_order_of_name(api: Api) -> None:
    for name in ("c", "a", "d", "b"):
        await create(api, name, labels={"team": "x" if name < "c" else "y"})
    request = pb.ListAccountsRequest(page_size=3)
    first = await api.accounts.ListAccounts(request)
    assert [each.name for each in first.accounts] == ["accounts/a", "accounts/b", "accounts/c"]
    assert first.resume_token
    request.page_token = first.next_page_token
    second = await api.accounts.ListAccounts(request)
    assert [each.name for each in second.accounts] == ["accounts/d"]
    assert not second.next_page_token
    assert not second.resume_token
    labelled = await api.accounts.ListAccounts(pb.ListAccountsRequest(labels={"team": "y"}))
    assert [each.name for each in labelled.accounts] == ["accounts/c", "accounts/d"]


@pytest.mark.parametrize("spoil", ["token", "request"])
async def test_a_tampered_page_token_is_refused(api: Api, spoil: str) -> None:
    for name in ("a", "b"):
        await create(api, name)
    request = pb.ListAccountsRequest(page_size=1)
    token = (await api.accounts.ListAccounts(request)).next_page_token
    if spoil == "token":
        request.page_token = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    else:
        request = pb.ListAccountsRequest(page_token=token, labels={"team": "x"})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.ListAccounts(request)
    assert reason(caught.value) == "PAGE_TOKEN_INVALID"


async def test_the_page_size_may_change_between_pages(api: Api) -> None:
    for name in ("a", "b", "c"):
        await create(api, name)
    token = (await api.accounts.ListAccounts(pb.ListAccountsRequest(page_size=1))).next_page_token
    rest = await api.accounts.ListAccounts(pb.ListAccountsRequest(page_size=9_999, page_token=token))
    assert [each.name for each in rest.accounts] == ["accounts/b", "accounts/c"]


async def test_an_update_changes_what_its_mask_names_without_a_login(api: Api) -> None:
    created = await create(api, display_name="Before", labels={"a": "1"})
    change = account_pb2.Account(
        name=created.name, display_name="After", email_address="me@example.org", labels={"b": "2"}
    )
    change.sync.poll_interval.seconds = 60
    mask = FieldMask(paths=["display_name", "labels", "sync.poll_interval"])
    request = pb.UpdateAccountRequest(account=change, update_mask=mask)
    updated = (await api.accounts.UpdateAccount(request)).account
    assert (updated.display_name, updated.email_address, dict(updated.labels)) == ("After", "", {"b": "2"})
    assert updated.sync.poll_interval.seconds == 60
    assert updated.sync.batch_size == created.sync.batch_size
    assert updated.etag != created.etag
    assert len(api.mail.tried) == 1


async def test_an_update_of_something_that_is_not_editable_is_refused(api: Api) -> None:
    created = await create(api)
    request = pb.UpdateAccountRequest(
        account=account_pb2.Account(name=created.name), update_mask=FieldMask(paths=["state", "imap.nothing"])
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.UpdateAccount(request)
    assert "state, imap.nothing" in violations(caught.value)["update_mask"]


async def test_an_old_etag_is_refused(api: Api) -> None:
    created = await create(api)
    change = account_pb2.Account(name=created.name, display_name="After", etag=created.etag)
    await api.accounts.UpdateAccount(pb.UpdateAccountRequest(account=change))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.UpdateAccount(pb.UpdateAccountRequest(account=change))
    assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")


async def test_pausing_twice_is_one_change_and_stops_syncs(api: Api) -> None:
    await create(api)
    paused = await api.accounts.PauseAccount(pb.PauseAccountRequest(name="accounts/acme"))
    assert paused.account.state == account_pb2.ACCOUNT_STATE_PAUSED
    head = api.store.stats().log_head
    await api.accounts.PauseAccount(pb.PauseAccountRequest(name="accounts/acme"))
    assert api.store.stats().log_head == head
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.StartSync(pb.StartSyncRequest(name="accounts/acme"))
    assert reason(caught.value) == "ACCOUNT_PAUSED"
    resumed = await api.accounts.ResumeAccount(pb.ResumeAccountRequest(name="accounts/acme"))
    assert resumed.account.state == account_pb2.ACCOUNT_STATE_ACTIVE


@pytest.mark.parametrize("name", ["", "acme", "accounts/", "accounts/A", "accounts/a/b"])
async def test_a_name_of_another_form_is_an_invalid_field(api: Api, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.GetAccount(pb.GetAccountRequest(name=name))
    assert "accounts/{account}" in violations(caught.value)["name"]
