"""What a cached entry is called, and whose it is.

A name is HMAC-SHA256 under a key of the cache's own over account, folder, UIDVALIDITY, UID and section. Without the key
it can be neither guessed nor enumerated, nothing a mail contains (a file name, say) becomes part of a path, and a
folder that was renumbered or an account that was removed and made again has other names. The folder takes part by its
80 random bits, because account numbers begin anew when a store is rebuilt beside an old cache.
"""

import hmac
import struct
from pathlib import PurePath
from typing import NamedTuple

from mailsync_grpc.content.values import MessageKey
from mailsync_grpc.store.cache_index import Owner

ANY_ENTRIES = "[0-9a-f][0-9a-f]"
"""Matches the directories that hold the entries, as `pathlib.Path.glob` does."""
_FIELDS = struct.Struct(">Q10sII")


class Entry(NamedTuple):
    """One cached content: its 32-byte name and whose it is."""

    name: bytes
    owner: Owner

    @property
    def path(self) -> PurePath:
        """Path of the entry's file within the cache."""
        return path_of(self.name)


class Span(NamedTuple):
    """The owners from one to another, both included, in the order of their fields."""

    first: Owner
    last: Owner


def path_of(name: bytes) -> PurePath:
    """Return the path of a name within the cache: two levels of directories, 65,536 in all, before the name in hex."""
    text = name.hex()
    return PurePath(text[:2], text[2:4], text)


def owner_of(message: MessageKey) -> Owner:
    """Return whose content a message's is."""
    return Owner(message.account.no, message.folder.id, message.folder.uid_validity, message.uid)


def entry_of(key: bytes, message: MessageKey, section: str) -> Entry:
    """Return the entry of a message's section; `key` is the cache's naming key."""
    owner = owner_of(message)
    fields = _FIELDS.pack(owner.account, owner.folder, owner.uid_validity, owner.uid)
    return Entry(hmac.digest(key, fields + section.encode("ascii"), "sha256"), owner)
