r"""What a server says unasked: EXISTS, EXPUNGE, VANISHED, FETCH of changed flags, BYE (RFC 3501 section 7).

Such lines may stand in the answer to any command. They are never data, only news that the folder changed, and the
number of messages it now has. Large answers are first searched for lines that are no FETCH asked for, which costs a
fraction of splitting them; one that turns out to be a message's own text costs the splitting and nothing else.
"""

import re
from typing import NamedTuple

from mailsync_grpc.imap.answer import LITERAL, literal_size, split_answer
from mailsync_grpc.imap.fetch import MAX_UID
from mailsync_grpc.model.uidset import UidSet

_SMALL = 16_384
_EVERY_UID = UidSet.span(1, MAX_UID)
# Every line of a large answer begins like this, save those that bring news or stand in a message's own text.
_OTHER = rb"\* (?!\d+ FETCH \(UID )"
_FIRST_OTHER, _LATER_OTHER = re.compile(_OTHER), re.compile(rb"\n" + _OTHER)
_NEWS = re.compile(
    r"\* (?:(?P<exists>\d{1,10}) EXISTS|\d+ (?P<expunge>EXPUNGE)|VANISHED (?P<vanished>[0-9:,]+)|(?P<bye>BYE.*)"
    r"|\d+ (?P<fetch>FETCH) \((?:FLAGS \([^()]*\)|MODSEQ \(\d+\)| )+\)) *",
    re.IGNORECASE,
)


class Announced(NamedTuple):
    """Messages in the folder now, whether it changed, and the BYE line, empty when there was none."""

    exists: int
    changed: bool
    bye: str


def announced(answer: bytes, exists: int) -> Announced:
    """Return the state after `answer` of a folder that had `exists` messages."""
    news = Announced(exists, changed=False, bye="")
    answer = _without_text(answer)
    if len(answer) > _SMALL and not (_FIRST_OTHER.match(answer) or _LATER_OTHER.search(answer)):
        return news
    for line in split_answer(answer).lines:
        if found := _NEWS.fullmatch(line):
            news = _after(news, found)
    return news


def _without_text(answer: bytes) -> bytes:
    """Return an answer without the large literal that it begins with when a message's text was asked for."""
    found = LITERAL.search(answer, 0, _SMALL)
    if found is None or (size := literal_size(found)) < _SMALL:
        return answer
    return answer[: found.start()] + answer[found.end() + size :]


def _after(news: Announced, found: re.Match[str]) -> Announced:
    match found.lastgroup:
        case "exists":
            return news._replace(exists=int(found["exists"]))
        case "expunge":
            return news._replace(exists=max(news.exists - 1, 0), changed=True)
        case "vanished":
            return news._replace(exists=max(news.exists - _count(found["vanished"]), 0), changed=True)
        case "bye":
            return news._replace(bye=found[0])
        case _:
            return news._replace(changed=True)


def _count(uids: str) -> int:
    try:
        return len(UidSet.parse(uids) & _EVERY_UID)
    except ValueError:
        return 0
