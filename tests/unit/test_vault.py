"""The vault: what it seals opens for its account alone, and a key that is not the store's is refused."""

import base64
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from mailsync_grpc.config import Config
from mailsync_grpc.errors import ConfigError, CredentialsNeededError
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.vault import Vault, open_vault

KEY = bytes(range(32))


def test_a_password_opens_for_its_account_alone() -> None:
    vault = Vault(KEY)
    sealed = vault.seal_password(AccountNo(7), "hunter2")
    assert vault.open_password(AccountNo(7), sealed) == "hunter2"
    assert b"hunter2" not in sealed
    with pytest.raises(CredentialsNeededError):
        vault.open_password(AccountNo(8), sealed)


@pytest.mark.parametrize("sealed", [b"", b"\x01short", b"\x02" + bytes(40), b"\x01" + bytes(40)])
def test_what_cannot_be_opened_asks_for_new_credentials(sealed: bytes) -> None:
    with pytest.raises(CredentialsNeededError, match="UpdateAccount"):
        Vault(KEY).open(AccountNo(1), sealed)


def test_each_purpose_has_a_key_of_its_own_that_stays() -> None:
    assert Vault(KEY).subkey("page") == Vault(KEY).subkey("page")
    assert Vault(KEY).subkey("page") != Vault(KEY).subkey("resume")
    assert Vault(KEY).subkey("page") != Vault(bytes(32)).subkey("page")


def test_the_first_start_makes_a_key_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path / "data")
    first = open_vault(config)
    assert stat.S_IMODE((tmp_path / "data" / "master.key").stat().st_mode) == 0o600
    assert open_vault(config).subkey("x") == first.subkey("x")
    assert {file.name for file in (tmp_path / "data").iterdir()} == {"master.key", "master.check"}


def test_a_wrong_key_refuses_to_start(tmp_path: Path) -> None:
    open_vault(Config(data_dir=tmp_path, master_key=_secret(KEY)))
    with pytest.raises(ConfigError, match="not the one"):
        open_vault(Config(data_dir=tmp_path, master_key=_secret(bytes(32))))
    open_vault(Config(data_dir=tmp_path, master_key=_secret(KEY)))


def test_a_store_whose_key_is_missing_is_not_given_another(tmp_path: Path) -> None:
    made = open_vault(Config(data_dir=tmp_path))
    key = (tmp_path / "master.key").rename(tmp_path / "kept")
    with pytest.raises(ConfigError, match=r"master\.key is missing"):
        open_vault(Config(data_dir=tmp_path))
    key.rename(tmp_path / "master.key")
    assert open_vault(Config(data_dir=tmp_path)).subkey("x") == made.subkey("x")


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_a_malformed_key_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(ConfigError, match="master_key_file: expected 32 bytes"):
        open_vault(Config(data_dir=tmp_path, master_key_file=file))


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"master_key_file: .*No such file"):
        open_vault(Config(data_dir=tmp_path, master_key_file=tmp_path / "none"))


def _secret(key: bytes) -> SecretStr:
    return SecretStr(base64.b64encode(key).decode())
