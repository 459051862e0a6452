"""Master keys, and stores whose credentials are sealed under them."""

import base64
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr

from mailsync_grpc.config import Config
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import AccountChanged
from mailsync_grpc.store.base import Batch, Store
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.vault import Vault
from tests.support.store import account_of


def given(data_dir: Path, key: bytes) -> Config:
    """Settings in which the operator gives the key."""
    return Config(data_dir=data_dir, master_key=SecretStr(base64.b64encode(key).decode()))


def own(data_dir: Path) -> Config:
    """Settings in which the key is the data directory's own file."""
    return Config(data_dir=data_dir)


def filled(vault: Vault, count: int = 3) -> MemoryStore:
    """A store with accounts whose passwords are their ids."""
    store = MemoryStore()
    for number in range(count):
        register(store, vault, f"acme-{number}")
    return store


def register(store: Store, vault: Vault, account_id: str) -> Account:
    made = account_of(store, account_id)
    made = replace(made, sealed_credentials=vault.seal_password(made.no, account_id))
    store.apply(Batch(made.key, (AccountChanged(made),)))
    return made


def opens(store: Store, vault: Vault) -> bool:
    return all(vault.open_password(each.no, each.sealed_credentials) == each.id for each in store.accounts())
