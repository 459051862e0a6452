"""Rotating the master key: everything opens at every moment, the old key opens nothing in the end, tokens stay valid."""

from dataclasses import replace
from pathlib import Path

import pytest

from mailsync_grpc import keyring
from mailsync_grpc.content.spool import open_spool
from mailsync_grpc.errors import ConfigError, CredentialsNeededError
from mailsync_grpc.keyring import Keys
from mailsync_grpc.model.account import Account, AccountKey
from mailsync_grpc.model.changes import AccountChanged, AccountRemoved
from mailsync_grpc.services.key_rotation import finish, rotate
from mailsync_grpc.store.base import Applied, Batch
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.store.values import SealedTokens
from mailsync_grpc.vault import Vault, load_master_key, open_vault
from tests.support.keys import filled, given, opens, own, register

OLD, NEW, THIRD = (bytes([number]) * 32 for number in (1, 2, 3))


def test_the_data_directorys_own_key_is_replaced_and_the_old_one_opens_nothing(tmp_path: Path) -> None:
    config = own(tmp_path)
    old = load_master_key(config)
    running = open_vault(config)
    store = filled(running)
    done = rotate(config, store)
    assert (done.resealed, done.unopened, done.retired) == (3, 0, True)
    assert load_master_key(config) != old
    assert opens(store, open_vault(config))
    assert not any(_opens_with(old, account) for account in store.accounts())
    with pytest.raises(ConfigError, match="not the one"):
        open_vault(given(tmp_path, old))


def _opens_with(key: bytes, account: Account) -> bool:
    try:
        Vault(key).open(account.no, account.sealed_credentials)
    except CredentialsNeededError:
        return False
    return True


def test_processes_that_run_open_and_seal_with_the_new_key(tmp_path: Path) -> None:
    config = own(tmp_path)
    running = open_vault(config)
    store = filled(running)
    rotate(config, store)
    assert opens(store, running)
    register(store, running, "later")
    assert opens(store, Vault(load_master_key(config)))


def test_a_process_of_the_operators_old_key_goes_on_until_it_is_started_with_the_new(tmp_path: Path) -> None:
    before, after = given(tmp_path, OLD), given(tmp_path, NEW)
    running = open_vault(before)
    store = filled(running)
    assert not rotate(before, store, NEW).retired
    register(store, running, "later")
    assert opens(store, running)
    assert opens(store, open_vault(before)), "a restart comes with the old key"
    finish(before, store, open_vault(before))
    assert opens(store, open_vault(before)), "and may do so again"
    finish(after, store, open_vault(after))
    with pytest.raises(ConfigError, match="not the one"):
        open_vault(before)
    assert opens(store, Vault(NEW))


def test_keys_for_other_purposes_stay_through_every_rotation(tmp_path: Path) -> None:
    config = own(tmp_path)
    before = open_vault(config).subkey("page-token")
    for _ in range(3):
        rotate(config, MemoryStore())
        assert open_vault(config).subkey("page-token") == before


def test_what_was_sealed_while_the_ring_changed_opens_and_is_sealed_anew_next_time(tmp_path: Path) -> None:
    config = own(tmp_path)
    old = Vault(load_master_key(config))
    store = filled(open_vault(config))
    rotate(config, store)
    late = register(store, old, "late")
    assert opens(store, open_vault(config))
    rotate(config, store)
    assert opens(store, open_vault(config))
    assert not _opens_with(old._keys.accepted[0], store.account(late.id) or late)


def test_a_rotation_keeps_the_key_before_and_no_older_one(tmp_path: Path) -> None:
    config = own(tmp_path)
    keys = [load_master_key(config)]
    open_vault(config)
    for _ in range(3):
        rotate(config, MemoryStore())
        keys.insert(0, load_master_key(config))
    ring = keyring.read_ring((tmp_path / keyring.CHECK_FILE).read_bytes())
    assert keyring.keys_in(ring, keys[0]) == Keys(tuple(keys[:2]), Keys.of(keys[-1]).root)


def test_credentials_that_no_key_opens_are_left_and_counted(tmp_path: Path) -> None:
    config = own(tmp_path)
    store = filled(open_vault(config))
    stranger = register(store, Vault(THIRD), "stranger")
    assert rotate(config, store)[:2] == (3, 1)
    assert store.account("stranger") == stranger


def test_nothing_of_any_kind_is_lost_to_a_process_that_runs_or_starts_after_several_rotations(
    tmp_path: Path,
) -> None:
    config = own(tmp_path)
    running = open_vault(config)
    store = filled(running)
    account = store.accounts()[0]
    secrets = {"password": "p", "proxy_password": "q", "client_key_pem": "k"}
    sealed = running.seal_secrets(account.no, secrets)
    changed = replace(account, version=account.version + 1, sealed_credentials=sealed)
    tokens = SealedTokens(1, running.seal(account.no, b"tokens"))
    store.apply(Batch(account.key, (AccountChanged(changed),), tokens=tokens))
    begun = running.seal_authorization(b"state", {"verifier": "v"})
    draft = open_spool(config, running).create(10)
    draft.add(b"letter")
    draft.finish()
    for _ in range(3):
        rotate(config, store)
        for vault in (running, open_vault(config)):
            now = store.account_by_no(account.no)
            assert now is not None
            assert vault.open_secrets(now.no, now.sealed_credentials) == secrets
            assert vault.open(now.no, store.tokens(now.no).sealed) == b"tokens"
            assert vault.open_authorization(b"state", begun) == {"verifier": "v"}
            with open_spool(config, vault).pieces(draft.name) as octets:
                assert b"".join(octets) == b"letter"


class BusyStore(MemoryStore):
    """A store in which someone edits the account, or removes it, just before the first change of the test."""

    def __init__(self, remove: bool) -> None:
        super().__init__()
        self.armed = False
        self._removing = remove

    def apply(self, batch: Batch) -> Applied:
        if self.armed:
            self.armed = False
            super().apply(Batch(batch.account, (self._other(batch.account),)))
        return super().apply(batch)

    def _other(self, key: AccountKey) -> AccountChanged | AccountRemoved:
        found = self.account_by_no(key.no)
        assert found is not None
        edited = replace(found, version=found.version + 1, display_name="edited")
        return AccountRemoved(key) if self._removing else AccountChanged(edited)


@pytest.mark.parametrize("removed", [False, True])
def test_an_edit_in_between_counts(tmp_path: Path, removed: bool) -> None:
    config = own(tmp_path)
    vault, store = open_vault(config), BusyStore(removed)
    register(store, vault, "acme")
    store.armed = True
    assert rotate(config, store).resealed == (0 if removed else 1)
    assert [each.display_name for each in store.accounts()] == ([] if removed else ["edited"])
    assert opens(store, vault)


def test_a_key_that_the_operator_gives_is_not_made_up(tmp_path: Path) -> None:
    open_vault(given(tmp_path, OLD))
    with pytest.raises(ConfigError, match="--new-key-file"):
        rotate(given(tmp_path, OLD), MemoryStore())


def test_a_second_rotation_waits_for_the_first(tmp_path: Path) -> None:
    config = given(tmp_path, OLD)
    store = filled(open_vault(config))
    rotate(config, store, NEW)
    with pytest.raises(ConfigError, match="under way"):
        rotate(config, store, THIRD)
    assert rotate(config, store, NEW).resealed == 0
    assert opens(store, open_vault(given(tmp_path, NEW)))


def test_a_start_that_finds_nothing_to_finish_changes_nothing(tmp_path: Path) -> None:
    config = own(tmp_path)
    vault = open_vault(config)
    before = (tmp_path / keyring.CHECK_FILE).read_bytes()
    finish(config, filled(vault), vault)
    assert (tmp_path / keyring.CHECK_FILE).read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"x", b"[]", b'{"a": 1}', b"{}"])
def test_a_damaged_ring_opens_for_nobody_and_says_so(tmp_path: Path, content: bytes) -> None:
    open_vault(given(tmp_path, OLD))
    (tmp_path / keyring.CHECK_FILE).write_bytes(content)
    with pytest.raises(ConfigError, match="not the one"):
        open_vault(given(tmp_path, OLD))
