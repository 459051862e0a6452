r"""Whether a copy, move or append that may have been sent was made, from what it would have left behind: pure decisions.

A crash, or a connection that breaks, leaves a command of which nobody knows whether the server took it. What it makes
appears in the target at UIDs not below the UIDNEXT that was recorded before (RFC 3501 section 2.3.1.1), with the same
Message-ID and size. So messages there that look like one that was to come are counted against all that were to look
like it. All are there: it was made. None is there: it was not, since COPY is all or nothing (section 6.4.7), and may be
sent again. Anything else, and messages that nothing tells apart, is not decided by guessing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mailsync_grpc.model.envelope import FetchedMessage
from mailsync_grpc.model.uidset import UidSet


class Print(NamedTuple):
    """What a message looks like wherever it is: Message-ID (empty: none) and size in octets."""

    message_id: str
    size: int


@dataclass(frozen=True, slots=True)
class Findings:
    """Messages that are in the target, that are not, and of which it is not known.

    The first are pairs of UIDs before and after, the latter 0 where several look alike.
    """

    there: tuple[tuple[int, int], ...] = ()
    absent: UidSet = UidSet()
    unknown: UidSet = UidSet()


def prints(messages: Iterable[FetchedMessage]) -> dict[int, Print]:
    """Return what messages look like, by UID."""
    return {one.uid: Print(one.envelope.message_id, one.envelope.size) for one in messages}


def judge(
    wanted: Mapping[int, Print | None], found: Mapping[int, Print], present: UidSet = UidSet()
) -> Findings:
    """Return which of `wanted`, as they look (None: not known), are among `found` in the target.

    Those of them that are `present` are still in the folder they were in. When a move was made of exactly those that
    are not, the others are known to have stayed.
    """
    groups: dict[Print, list[int]] = defaultdict(list)
    unknown = {uid for uid, seen in wanted.items() if seen is None}
    for uid, seen in wanted.items():
        if seen is not None:
            groups[seen].append(uid)
    candidates: dict[Print, list[int]] = defaultdict(list)
    for uid, seen in found.items():
        candidates[seen].append(uid)
    sizes = Counter(seen.size for seen in found.values())
    there: list[tuple[int, int]] = []
    absent: set[int] = set()
    for seen, uids in groups.items():
        new = sorted(candidates[seen])
        gone = [uid for uid in uids if present and uid not in present]
        if not new if seen.message_id else not sizes[seen.size]:
            absent.update(uids)
        elif not seen.message_id:
            unknown.update(uids)
        elif len(new) >= len(uids):
            there += _paired(uids, new)
        elif gone and len(new) == len(gone):
            there += _paired(gone, new)
            absent.update(set(uids) - set(gone))
        else:
            unknown.update(uids)
    return Findings(tuple(sorted(there)), UidSet.of(absent), UidSet.of(unknown))


def _paired(old: list[int], new: list[int]) -> list[tuple[int, int]]:
    """Copies of one command have UIDs in the order of their originals; with others among them nobody knows which is which."""
    if len(old) == len(new):
        return list(zip(sorted(old), new, strict=True))
    return [(uid, 0) for uid in old]
