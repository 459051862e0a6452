r"""What users call a listed folder: its name without the prefix under which a server keeps personal folders (RFC 2342).

Servers such as Courier and Cyrus keep every personal folder inside INBOX (`INBOX.Sent`), an accident of their storage
that no mail program shows. The prefix of the first personal namespace, the one in which new folders are made, is left
out, except where the rest would take the place of another folder: then that whole branch keeps its full name. Folders
in other users' and shared namespaces are not the account's own: listed, never synced unless asked for.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mailsync_grpc.imap.folder_names import INBOX, decode_name, encode_name
from mailsync_grpc.imap.listing import ListedFolder, Namespaces
from mailsync_grpc.model.folder import Folder

NO_NAMESPACES = Namespaces((), (), ())


class Naming(NamedTuple):
    """A listed folder, its path as users know it, and whether it is the account's own."""

    entry: ListedFolder
    path: str
    own: bool


def known_as(listed: Sequence[ListedFolder], namespaces: Namespaces | None) -> list[Naming]:
    """Return each listed folder with its path for people; without namespaces all are own and named in full."""
    spaces = namespaces or NO_NAMESPACES
    prefix = _prefix(spaces.personal)
    taken = {_top(entry.raw_name, entry) for entry in listed if not _inside(entry.raw_name, prefix)}
    taken.add(INBOX.encode())
    return [Naming(entry, _path(entry, prefix, taken), _own(entry.raw_name, spaces)) for entry in listed]


def as_shown(path: str, folders: Sequence[Folder]) -> str:
    """Return a path with INBOX written as it is shown, whose case means nothing (RFC 3501 section 5.1)."""
    delimiter = next((folder.delimiter for folder in folders if folder.display_name == INBOX), "")
    head, between, rest = path.partition(delimiter) if delimiter else (path, "", "")
    return INBOX + between + rest if head.upper() == INBOX else path


def new_name(path: str, folders: Sequence[Folder], namespaces: Namespaces | None) -> bytes:
    """Return the name on the wire of a folder that is to be at `path`: below its parent, or where new folders are made."""
    parents = [one for one in folders if one.delimiter and path.startswith(one.display_name + one.delimiter)]
    if parents:
        parent = max(parents, key=lambda folder: len(folder.path))
        rest = path[len(parent.display_name) + len(parent.delimiter) :]
        return parent.raw_name + parent.delimiter.encode() + encode_name(rest)
    raw = encode_name(path)
    return raw if raw.upper() == INBOX.encode() else _prefix((namespaces or NO_NAMESPACES).personal) + raw


def _prefix(personal: Iterable[tuple[bytes, str | None]]) -> bytes:
    prefix, delimiter = next(iter(personal), (b"", None))
    ending = (delimiter or "").encode()
    return prefix if not prefix or prefix.endswith(ending) else prefix + ending


def _inside(raw: bytes, prefix: bytes) -> bool:
    """Whether the name is one below `prefix`; INBOX in it may be spelled in any case (RFC 3501 section 5.1)."""
    if not prefix or len(raw) <= len(prefix):
        return False
    inbox = len(INBOX) if prefix[: len(INBOX)].upper() == INBOX.encode() else 0
    head = raw[: len(prefix)]
    return head[:inbox].upper() + head[inbox:] == prefix[:inbox].upper() + prefix[inbox:]


def _top(raw: bytes, entry: ListedFolder) -> bytes:
    """Return the first level of a name, as far as names are told apart (INBOX in any case)."""
    top = raw.split(entry.delimiter.encode(), 1)[0] if entry.delimiter else raw
    return top.upper() if top.upper() == INBOX.encode() else top


def _path(entry: ListedFolder, prefix: bytes, taken: set[bytes]) -> str:
    rest = entry.raw_name[len(prefix) :]
    if not _inside(entry.raw_name, prefix) or _top(rest, entry) in taken:
        return entry.name
    return decode_name(rest)


def _own(raw: bytes, spaces: Namespaces) -> bool:
    """Whether the longest prefix that the name has is a personal one; INBOX always is the user's own."""
    if raw == INBOX.encode():
        return True
    foreign = _longest(raw, (*spaces.other, *spaces.shared))
    return foreign < 0 or _longest(raw, spaces.personal) >= foreign


def _longest(raw: bytes, spaces: Iterable[tuple[bytes, str | None]]) -> int:
    """Return the octets of the longest prefix that holds the name or is its own root; -1 for none."""
    fits = (
        len(prefix)
        for prefix, delimiter in spaces
        if not prefix
        or _inside(raw, prefix)
        or raw in {prefix, prefix.removesuffix((delimiter or "").encode())}
    )
    return max(fits, default=-1)
