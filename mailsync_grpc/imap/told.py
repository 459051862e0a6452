r"""What a server says of a change: COPYUID and APPENDUID (RFC 4315), MODIFIED and new mod-sequences (RFC 7162).

The codes stand in the tagged completion; for a MOVE, COPYUID comes before in an untagged OK (RFC 6851 section 4.3).
One that makes no sense is none: then it is not known where a message went, which is not to say that it did not.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import NamedTuple

from mailsync_grpc.imap.answer import split_answer
from mailsync_grpc.imap.fetch import MAX_UID, fetch_attributes, modseq_of, number_of, uid_of
from mailsync_grpc.imap.receive import Answer
from mailsync_grpc.model.uidset import UidSet

_COPYUID = re.compile(r"OK \[COPYUID (\d{1,10}) ([0-9:,]+) ([0-9:,]+)\]", re.IGNORECASE)
_APPENDUID = re.compile(r"OK \[APPENDUID (\d{1,10}) (\d{1,10})\]", re.IGNORECASE)
_LIMIT = "APPENDLIMIT="
_SPAN = re.compile(r"(\d{1,10})(?::(\d{1,10}))?")
_MODIFIED = re.compile(r"(?:OK|NO) \[MODIFIED ([0-9:,]+)\]", re.IGNORECASE)


class Copied(NamedTuple):
    """Pairs of UIDs before and after, under the target's UIDVALIDITY; nothing and 0 where the server does not tell."""

    pairs: tuple[tuple[int, int], ...] = ()
    uid_validity: int = 0


class Stored(NamedTuple):
    """Messages that a conditional STORE left alone, and the mod-sequences that it gave to others, by UID."""

    modified: UidSet
    modseqs: Mapping[int, int]

    def allowed(self, uids: UidSet, unchanged_since: int) -> dict[int, UidSet]:
        """Return the messages of `uids` that were not left alone, by the mod-sequence that they may have next.

        One of which nothing is told was not changed: it was as asked for before, so that what held for it still does.
        """
        groups: dict[int, list[int]] = defaultdict(list)
        for uid in uids - self.modified:
            groups[self.modseqs.get(uid, unchanged_since) if unchanged_since else 0].append(uid)
        return {modseq: UidSet.of(group) for modseq, group in groups.items()}


class Appended(NamedTuple):
    """Where a message is; zeros where the server does not tell."""

    uid_validity: int = 0
    uid: int = 0


def append_limit(capabilities: Iterable[str]) -> int | None:
    """Return how many octets a message may have that is added to any folder (RFC 7889), None where that is not told."""
    told = (number_of(word.removeprefix(_LIMIT)) for word in capabilities if word.startswith(_LIMIT))
    return next((octets for octets in told if octets is not None), None)


def parse_copied(answer: Answer, asked: UidSet) -> Copied:
    """Return where those of `asked` went that the answer to COPY or MOVE tells of."""
    pairs: list[tuple[int, int]] = []
    validity = 0
    for text in _told(answer):
        found = _COPYUID.match(text)
        told = _pairs(found[2], found[3], len(asked)) if found else []
        ours = [(old, new) for old, new in told if old in asked]
        if found and ours and 0 < int(found[1]) <= MAX_UID:
            validity = int(found[1])
            pairs += ours
    return Copied(tuple(pairs), validity)


def parse_appended(answer: Answer) -> Appended:
    """Return where the answer to APPEND says that the message is."""
    found = _APPENDUID.match(answer.completion.decode("latin-1"))
    if found is None or not (0 < int(found[1]) <= MAX_UID and 0 < int(found[2]) <= MAX_UID):
        return Appended()
    return Appended(int(found[1]), int(found[2]))


def parse_stored(answer: Answer) -> Stored:
    """Return what a conditional STORE left alone and what it did to the others."""
    lines, literals = split_answer(answer.untagged)
    modseqs: dict[int, int] = {}
    for line in lines:
        attributes = fetch_attributes(line, literals)
        uid, modseq = uid_of(attributes), modseq_of(attributes)
        if uid and modseq:
            # Of two, the second is of another's change that was told with the answer.
            modseqs[uid] = min(modseq, modseqs.get(uid, modseq))
    return Stored(_left_alone(answer), modseqs)


def _left_alone(answer: Answer) -> UidSet:
    found = [match[1] for text in _told(answer) if (match := _MODIFIED.match(text))]
    try:
        return UidSet.parse(",".join(found))
    except ValueError:
        return UidSet()


def _told(answer: Answer) -> list[str]:
    untagged = [line[2:] for line in split_answer(answer.untagged).lines if line.startswith("* ")]
    return [*untagged, answer.completion.decode("latin-1")]


def _pairs(sources: str, targets: str, most: int) -> list[tuple[int, int]]:
    """Return two lists of UIDs as pairs in the order they are written; none when they do not fit each other."""
    old, new = _spans(sources), _spans(targets)
    sizes = [sum(len(span) for span in spans) for spans in (old, new)]
    if sizes[0] != sizes[1] or sizes[0] > most:
        return []
    return list(zip(chain.from_iterable(old), chain.from_iterable(new), strict=True))


def _spans(uids: str) -> list[range]:
    spans = []
    for part in filter(None, uids.split(",")):
        span = _SPAN.fullmatch(part)
        if span is None:
            return []
        low, high = sorted((int(span[1]), int(span[2] or span[1])))
        if not 0 < low <= high <= MAX_UID:
            return []
        spans.append(range(low, high + 1))
    return spans
