"""A new master key in place of the one in use, while the service runs, in steps each of which may be the last before a crash.

1. The ring lets either key open the directory, with both keys behind it. From here on the new key seals.
2. Every account's credentials and tokens are sealed anew, one compare-and-set each, so an edit in between counts.
3. The key file is replaced, where the key is the data directory's own; else the operator gives the new one at the next start.
4. The old key is retired: it opens nothing any more. Where the operator gives the key, the first start with the new one does
   that, since until then a restart comes with the old one.

Done again after a crash, or at any time, it goes on where it was. The key before stays behind the ring, sealed under the
new one, for credentials that were being sealed while the ring changed; the next rotation drops it.
"""

import base64
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from mailsync_grpc import keyring
from mailsync_grpc.config import Config
from mailsync_grpc.errors import AccountNotFoundError, ConfigError, CredentialsNeededError
from mailsync_grpc.keyring import Keys
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import AccountChanged
from mailsync_grpc.model.ids import RandomBytes
from mailsync_grpc.store import failpoints
from mailsync_grpc.store.base import Batch, ConflictError, Store
from mailsync_grpc.store.values import SealedTokens
from mailsync_grpc.vault import KEY_FILE, Vault, current_keys, load_master_key, open_vault

_KEPT = 2
"""Keys behind the ring after a rotation: the new one and the one before."""


class Rotated(NamedTuple):
    """What a rotation did: accounts sealed anew, accounts whose credentials no key opens, whether the old key is retired."""

    resealed: int
    unopened: int
    retired: bool


def rotate(
    config: Config, store: Store, new_key: bytes | None = None, random: RandomBytes = os.urandom
) -> Rotated:
    """Hand over to `new_key`, made up when the key is the data directory's own file, or finish what was begun.

    Raises ConfigError.
    """
    vault = open_vault(config)
    new = _begin(config, load_master_key(config), new_key, random)
    failpoints.hit("in_rotation")
    resealed, unopened = _reseal_all(store, vault)
    if not _is_own(config):
        return Rotated(resealed, unopened, retired=load_master_key(config) == new)
    keyring.replace(config.data_dir / KEY_FILE, base64.b64encode(new))
    failpoints.hit("in_rotation")
    _retire(config, new)
    failpoints.hit("in_rotation")
    return Rotated(resealed, unopened, retired=True)


def finish(config: Config, store: Store, vault: Vault) -> None:
    """Finish a rotation, when the service starts with the new key and the old one is not retired yet."""
    key = load_master_key(config)
    ring = keyring.read_ring((config.data_dir / keyring.CHECK_FILE).read_bytes())
    if len(ring) > 1 and _now(config).accepted[0] == key:
        _reseal_all(store, vault)
        _retire(config, key)


def _is_own(config: Config) -> bool:
    return config.master_key is None and config.master_key_file is None


def _begin(config: Config, current: bytes, new_key: bytes | None, random: RandomBytes) -> bytes:
    """Return the new key, from now on the one that seals."""
    keys = _now(config)
    if keys.accepted[0] != current:
        if new_key not in {None, keys.accepted[0]}:
            raise ConfigError("a rotation to another key is under way; finish that one first")
        return keys.accepted[0]
    if new_key is None and not _is_own(config):
        raise ConfigError(
            "the master key comes from MAILSYNC_MASTER_KEY or master_key_file; write a new one"
            f" (`openssl rand -base64 {keyring.KEY_BYTES}`) to a file and name it with --new-key-file"
        )
    new = new_key or random(keyring.KEY_BYTES)
    if new in keys.accepted:
        return new
    failpoints.hit("in_rotation")
    keyring.write_ring(config.data_dir, Keys((new, *keys.accepted), keys.root), (current, new))
    return new


def _now(config: Config) -> Keys:
    keys = current_keys(config)
    if keys is None:
        raise ConfigError(f"{config.data_dir / keyring.CHECK_FILE} cannot be read with this master key")
    return keys


def _retire(config: Config, new: bytes) -> None:
    keys = _now(config)
    keyring.write_ring(config.data_dir, Keys(keys.accepted[:_KEPT], keys.root), (new,))


def _reseal_all(store: Store, vault: Vault) -> tuple[int, int]:
    """Seal every account's credentials by the newest key; return how many were, and how many no key opens."""
    resealed = unopened = 0
    for account in _accounts(store):
        try:
            resealed += _reseal(store, vault, account)
            _reseal_tokens(store, vault, account)
        except CredentialsNeededError:
            unopened += 1
        failpoints.hit("in_rotation")
    return resealed, unopened


def _accounts(store: Store) -> Iterator[Account]:
    after = ""
    while accounts := store.accounts(after):
        after = accounts[-1].id
        yield from accounts


def _reseal(store: Store, vault: Vault, account: Account) -> bool:
    """Seal one account's credentials anew, whatever others change of it meanwhile; whether there was need."""
    found: Account | None = account
    while found is not None:
        sealed = vault.resealed(found.no, found.sealed_credentials)
        if sealed is None:
            return False
        after = replace(found, version=found.version + 1, sealed_credentials=sealed)
        try:
            store.apply(Batch(found.key, (AccountChanged(after),)))
        except ConflictError:
            found = store.account_by_no(found.no)
        except AccountNotFoundError:
            return False
        else:
            return True
    return False


def _reseal_tokens(store: Store, vault: Vault, account: Account) -> None:
    """Seal an account's OAuth tokens anew, unless whoever renews them does so first, with the same key."""
    while (tokens := store.tokens(account.no)).sealed:
        sealed = vault.resealed(account.no, tokens.sealed)
        if sealed is None:
            return
        try:
            store.apply(Batch(account.key, tokens=SealedTokens(tokens.version + 1, sealed)))
        except ConflictError:
            continue
        except AccountNotFoundError:
            return
