r"""Flags of a message and their hash.

A message's flags are compared between two looks by one 64-bit number: xxh3-64 over the sorted, case-folded flags
without `\Recent` (RFC 3501 section 2.3.2 makes flags case-insensitive and an unordered set, and `\Recent` belongs to
a session, not to the message). System flags keep their backslash, so the keyword `Seen` is not `\Seen`. The hash is
stored; a change of its recipe needs a new `FLAG_HASH_VERSION` and a migration.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import xxhash

FLAG_HASH_VERSION = 1

SEEN = "\\Seen"
ANSWERED = "\\Answered"
FLAGGED = "\\Flagged"
DELETED = "\\Deleted"
DRAFT = "\\Draft"
RECENT = "\\recent"

SYSTEM_FLAGS = (SEEN, ANSWERED, FLAGGED, DELETED, DRAFT)
_SYSTEM_BY_FOLDED = {flag.casefold(): flag for flag in SYSTEM_FLAGS}
# A NUL can be part of no flag (RFC 3501 section 9, atom), so joining with it keeps two sets apart.
_SEPARATOR = "\0"


@dataclass(frozen=True, slots=True)
class Flags:
    r"""The flags of one message, normalised: system flags spelled canonically, no `\Recent`, sorted, unique.

    `names` are the flags as on the wire (`\Seen`, `$Forwarded`, `123`); `labels` are provider labels such as Gmail's
    (X-GM-LABELS), which are not IMAP flags. Make one with `of`.
    """

    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str], labels: Iterable[str] = ()) -> "Flags":
        """Return normalised flags; of two spellings of one keyword the first seen stays."""
        folded: dict[str, str] = {}
        for name in names:
            key = name.casefold()
            if key != RECENT:
                folded.setdefault(key, _SYSTEM_BY_FOLDED.get(key, name))
        return cls(tuple(folded[key] for key in sorted(folded)), tuple(sorted(set(labels))))

    @property
    def keywords(self) -> tuple[str, ...]:
        r"""The flags that are not one of the five system flags, unknown `\`-flags included."""
        return tuple(name for name in self.names if name not in SYSTEM_FLAGS)

    @property
    def octets(self) -> int:
        """Length of the flags as they are written on the wire, one after the other."""
        return sum(len(name) + 1 for name in self.names)

    @property
    def hash(self) -> int:
        """The 64-bit hash by which two looks are compared."""
        return _hash(self)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def minus(self, other: "Flags") -> "Flags":
        """Return the flags and labels that are here and not in `other`, compared without regard to case."""
        gone = {name.casefold() for name in other.names}
        names = tuple(name for name in self.names if name.casefold() not in gone)
        return Flags(names, tuple(label for label in self.labels if label not in other.labels))


NO_FLAGS = Flags()


@lru_cache(maxsize=65_536)
def _hash(flags: Flags) -> int:
    folded = _SEPARATOR.join(sorted(name.casefold() for name in flags.names))
    if flags.labels:
        # Labels are case-sensitive names; the doubled separator keeps them apart from flags.
        folded += _SEPARATOR * 2 + _SEPARATOR.join(flags.labels)
    return xxhash.xxh3_64_intdigest(folded.encode("utf-8", "surrogateescape"))
