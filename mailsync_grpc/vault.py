"""The master key and what is derived from it: sealed mail credentials and keys for tokens and cache names.

A master key encrypts no credentials itself. HKDF-SHA256 (RFC 5869) gives each purpose a key of its own, so that a
page token can never be mistaken for a sealed password. Credentials are sealed with AES-256-GCM (NIST SP 800-38D) under
a random 96-bit nonce with the account's number as associated data: a row copied to another account does not open.
A check value beside the store tells a wrong key from a damaged store before anything is served. How a key hands over to
the next while processes run is told in `keyring`; a vault looks at its files again when it seals, and when something
does not open.
"""

import base64
import binascii
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailsync_grpc.config import Config
from mailsync_grpc.errors import ConfigError, CredentialsNeededError
from mailsync_grpc.keyring import CHECK_FILE, KEY_BYTES, Keys, derived, first_ring, keys_in, read_ring
from mailsync_grpc.model.ids import AccountNo

KEY_FILE = "master.key"

_NONCE_BYTES = 12
_SEAL_VERSION = b"\x01"
_log = structlog.get_logger(__name__)


Reload = Callable[[], Keys | None]
"""Returns the keys of now, None when they are not to be had."""


class Vault:
    """Derives keys and seals credentials. `reload` tells of a rotation by another process."""

    def __init__(self, master_key: bytes, keys: Keys | None = None, reload: Reload = lambda: None) -> None:
        if len(master_key) != KEY_BYTES:
            raise ValueError(f"a master key has {KEY_BYTES} bytes, not {len(master_key)}")
        self._keys = keys or Keys.of(master_key)
        self._reload = reload
        self._authorizations = AESGCM(self.subkey("authorizations"))

    def subkey(self, purpose: str) -> bytes:
        """Return the 32-byte key of a purpose; the same for ever in one data directory."""
        return derived(self._keys.root, purpose)

    def seal(self, account: AccountNo, plaintext: bytes) -> bytes:
        """Return version, nonce and ciphertext, which only open for this account."""
        self._look()
        nonce = os.urandom(_NONCE_BYTES)
        newest = _cipher(self._keys.accepted[0])
        return _SEAL_VERSION + nonce + newest.encrypt(nonce, plaintext, _associated(account))

    def open(self, account: AccountNo, sealed: bytes) -> bytes:
        """Return what was sealed for this account. Raises CredentialsNeededError when it cannot be opened."""
        if sealed[:1] != _SEAL_VERSION or len(sealed) <= _NONCE_BYTES:
            raise CredentialsNeededError("no credentials are stored; set them by UpdateAccount")
        plain = self._opened(account, sealed)
        if plain is None and self._look():
            plain = self._opened(account, sealed)
        if plain is None:
            raise CredentialsNeededError(
                "the stored credentials cannot be decrypted with this master key; set them by UpdateAccount"
            )
        return plain

    def resealed(self, account: AccountNo, sealed: bytes) -> bytes | None:
        """Return what was sealed for this account sealed by the newest key, None when it is. Raises as `open`."""
        self._look()
        if len(sealed) > _NONCE_BYTES and _decrypted(self._keys.accepted[0], account, sealed) is not None:
            return None
        return self.seal(account, self.open(account, sealed))

    def _opened(self, account: AccountNo, sealed: bytes) -> bytes | None:
        tried = (_decrypted(key, account, sealed) for key in self._keys.accepted)
        return next((plain for plain in tried if plain is not None), None)

    def _look(self) -> bool:
        """Take over the keys of now; whether they are others."""
        keys = self._reload() or self._keys
        changed, self._keys = keys != self._keys, keys
        return changed

    def seal_secrets(self, account: AccountNo, secrets: Mapping[str, Any]) -> bytes:
        """Return an account's secrets sealed: one JSON object, in which each kind has its own name."""
        return self.seal(account, json.dumps(dict(secrets)).encode())

    def open_secrets(self, account: AccountNo, sealed: bytes) -> dict[str, Any]:
        """Return what `seal_secrets` sealed. Raises CredentialsNeededError."""
        secrets: dict[str, Any] = json.loads(self.open(account, sealed))
        return secrets

    def seal_password(self, account: AccountNo, password: str) -> bytes:
        """Return the secrets of an account that logs in with a password, sealed."""
        return self.seal_secrets(account, {"password": password})

    def open_password(self, account: AccountNo, sealed: bytes) -> str:
        """Return the password that `seal_password` sealed. Raises CredentialsNeededError."""
        password = self.open_secrets(account, sealed).get("password")
        if not isinstance(password, str):
            raise CredentialsNeededError("the stored credentials hold no password; set one by UpdateAccount")
        return password

    def seal_authorization(self, key: bytes, content: Mapping[str, Any]) -> bytes:
        """Return an authorization on its way, sealed so that it only opens under the key that it is kept by."""
        nonce = os.urandom(_NONCE_BYTES)
        plaintext = json.dumps(dict(content)).encode()
        return _SEAL_VERSION + nonce + self._authorizations.encrypt(nonce, plaintext, key)

    def open_authorization(self, key: bytes, sealed: bytes) -> dict[str, Any] | None:
        """Return what `seal_authorization` sealed under this key; None under another, or with another master key."""
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            content: dict[str, Any] = json.loads(self._authorizations.decrypt(nonce, ciphertext, key))
        except InvalidTag:
            return None
        return content


def open_vault(config: Config) -> Vault:
    """Return the vault of a data directory, making key and check value at its first start.

    Raises ConfigError for a malformed key, one that cannot be read, and one that is not this store's.
    """
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = load_master_key(config)
    keys = keys_in(read_ring(_read_or_create(config.data_dir / CHECK_FILE, first_ring(key))), key)
    if keys is None:
        raise ConfigError(
            f"the master key is not the one {config.data_dir} was made with; give that key"
            " (MAILSYNC_MASTER_KEY, master_key_file or its master.key), or remove"
            f" {config.data_dir / CHECK_FILE} to go on with this one and set every account's credentials anew"
        )
    return Vault(key, keys, lambda: current_keys(config))


def current_keys(config: Config) -> Keys | None:
    """Return the keys of a data directory as its files have them now, None when they cannot be read."""
    with suppress(ConfigError, OSError):
        return keys_in(read_ring((config.data_dir / CHECK_FILE).read_bytes()), load_master_key(config))
    return None


def load_master_key(config: Config) -> bytes:
    """Return the key of MAILSYNC_MASTER_KEY, else of master_key_file, else of the data directory's own file.

    The last is made with mode 0600 when missing, which is logged. Raises ConfigError.
    """
    if config.master_key is not None:
        return decode_key("master_key", config.master_key.get_secret_value())
    if config.master_key_file is not None:
        try:
            text = config.master_key_file.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"master_key_file: {error}") from None
        return decode_key("master_key_file", text)
    return _own_key(config.data_dir)


def _own_key(data_dir: Path) -> bytes:
    """Return the key of the data directory's own file, made unless the directory belongs to another key already."""
    file, check = data_dir / KEY_FILE, data_dir / CHECK_FILE
    if not file.exists():
        if check.exists():
            raise ConfigError(
                f"{file} is missing; put it back or give the key by MAILSYNC_MASTER_KEY or master_key_file, or remove"
                f" {check} to go on with a new one and set every account's credentials anew"
            )
        _log.warning("master key made; keep a copy apart from the store's backups", file=str(file))
    return decode_key(
        str(file), _read_or_create(file, base64.b64encode(os.urandom(KEY_BYTES))).decode("ascii", "replace")
    )


def decode_key(setting: str, text: str) -> bytes:
    """Return a key written in base64. Raises ConfigError naming the setting."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"{setting}: expected {KEY_BYTES} bytes in base64 (`openssl rand -base64 {KEY_BYTES}`)"
        )
    return key


def _read_or_create(file: Path, content: bytes) -> bytes:
    """Return the file's bytes; when missing it is made with `content`, whole and durable or not at all."""
    if not file.exists():
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        # Where another process of this server was faster, its content counts.
        with suppress(FileExistsError):
            file.hardlink_to(draft)
        draft.unlink()
    return file.read_bytes()


def _decrypted(key: bytes, account: AccountNo, sealed: bytes) -> bytes | None:
    nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    try:
        return _cipher(key).decrypt(nonce, ciphertext, _associated(account))
    except InvalidTag:
        return None


def _cipher(key: bytes) -> AESGCM:
    return AESGCM(derived(key, "credentials"))


def _associated(account: AccountNo) -> bytes:
    return b"account:" + account.to_bytes(8, "big")
