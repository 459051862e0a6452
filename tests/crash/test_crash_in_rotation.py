"""SIGKILL at each step of a key rotation: everything opens with the key at hand, and doing it again finishes it."""

from itertools import count
from pathlib import Path

import pytest

from mailsync_grpc import keyring
from mailsync_grpc.config import Config
from mailsync_grpc.services.key_rotation import finish
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.vault import Vault, load_master_key, open_vault
from tests.support.cli import mailsync
from tests.support.keys import opens, own, register

ACCOUNTS = 2


def made(data_dir: Path) -> Config:
    """Settings of a data directory with some accounts and a key of its own."""
    config = own(data_dir)
    vault, store = open_vault(config), open_store(data_dir, exclusive=True)
    for number in range(ACCOUNTS):
        register(store, vault, f"acme-{number}")
    store.close()
    return config


def all_open(config: Config, vault: Vault) -> bool:
    store = open_store(config.data_dir, exclusive=False)
    try:
        return opens(store, vault)
    finally:
        store.close()


def rotation(config: Config, failpoint: str = "") -> int:
    environment = {"MAILSYNC_DATA_DIR": str(config.data_dir), "MAILSYNC_FAILPOINT": failpoint}
    return mailsync("key", "rotate", environment=environment).returncode


def started(config: Config) -> None:
    """Do what a service does with keys when it starts."""
    store = open_store(config.data_dir, exclusive=True)
    finish(config, store, open_vault(config))
    store.close()


@pytest.mark.parametrize("then", ["rotated again", "started"])
def test_a_rotation_that_is_killed_leaves_everything_open_and_can_be_done_again(
    tmp_path: Path, then: str
) -> None:
    killed = 0
    for point in count(1):
        config = made(tmp_path / f"killed {point}")
        old, running = load_master_key(config), open_vault(config)
        if rotation(config, f"in_rotation:{point}") == 0:
            break
        killed += 1
        assert all_open(config, running)
        assert all_open(config, open_vault(config))
        if then == "started":
            started(config)
            assert all_open(config, open_vault(config))
        assert rotation(config) == 0
        assert all_open(config, running)
        assert all_open(config, open_vault(config))
        ring = keyring.read_ring((config.data_dir / keyring.CHECK_FILE).read_bytes())
        assert list(ring) == [keyring.check_of(load_master_key(config))]
        assert load_master_key(config) != old
    # Before and behind the ring, behind each account, behind the key file and the retirement.
    assert killed == 2 + ACCOUNTS + 2
