r"""Whether a copy, move or append that may have been sent was made, from what it would have left behind: pure decisions.

A crash, or a connection that breaks, leaves a command of which nobody knows whether the server took it. What it makes
appears in the target at UIDs not below the UIDNEXT that was recorded before (RFC 3501 section 2.3.1.1), with the same
Message-ID and size. So messages there that look like one that was to come are counted against all that were to look
like it. All are there: it was made. None is there, nor one that may be it: it was not, since COPY is all or nothing (section
6.4.7), and may be sent again. Anything else, and messages that nothing tells apart, is not decided by guessing.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
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
    groups = _by_look({uid: seen for uid, seen in wanted.items() if seen is not None})
    candidates, shadows = _by_look(found), _Shadows.of(found.values())
    unknown = set(wanted) - {uid for uids in groups.values() for uid in uids}
    there: list[tuple[int, int]] = []
    absent: set[int] = set()
    for seen, uids in groups.items():
        new = sorted(candidates.get(seen, ()))
        gone = [uid for uid in uids if present and uid not in present]
        if not shadows.hold(seen):
            absent.update(uids)
        elif not (seen.message_id and new):
            unknown.update(uids)
        elif len(new) >= len(uids):
            there += _paired(uids, new)
        elif gone and len(new) == len(gone):
            there += _paired(gone, new)
            absent.update(set(uids) - set(gone))
        else:
            unknown.update(uids)
    return Findings(tuple(sorted(there)), UidSet.of(absent), UidSet.of(unknown))


class _Shadows(NamedTuple):
    """What tells that a message may be there although none looks like it.

    Some servers tell sizes that are not exact, or no Message-ID of an odd header.
    """

    message_ids: frozenset[str]
    sizes: frozenset[int]
    nameless_sizes: frozenset[int]

    @classmethod
    def of(cls, found: Collection[Print]) -> "_Shadows":
        nameless = (one.size for one in found if not one.message_id)
        ids, sizes = (one.message_id for one in found), (one.size for one in found)
        return cls(frozenset(ids), frozenset(sizes), frozenset(nameless))

    def hold(self, seen: Print) -> bool:
        if not seen.message_id:
            return seen.size in self.sizes
        return seen.message_id in self.message_ids or seen.size in self.nameless_sizes


def _by_look(messages: Mapping[int, Print]) -> dict[Print, list[int]]:
    groups: dict[Print, list[int]] = defaultdict(list)
    for uid, seen in messages.items():
        groups[seen].append(uid)
    return dict(groups)


def _paired(old: list[int], new: list[int]) -> list[tuple[int, int]]:
    """Copies of one command have UIDs in the order of their originals; with others among them nobody knows which is which."""
    if len(old) == len(new):
        return list(zip(sorted(old), new, strict=True))
    return [(uid, 0) for uid in old]
