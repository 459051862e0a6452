"""Which messages went from one folder to another: pure decisions, from evidence and from which folder was looked at when.

A move shows as two halves, a removal and an arrival, in two folders that are looked at one after the other, in either
order. So neither half is decided when it is seen. A removal is *leaving*, still listed; an arrival of which another
folder holds a twin is *withheld*, neither stored nor told. Both are open until every other folder was looked at after
they were seen. One look is enough: MOVE is atomic (RFC 6851 section 3.3), and who copies and then expunges has copied by
the time of the removal. What is open lies in the folders' progress, so that a crash only asks for the looks again.

Two halves are one message when their evidence is the same and nothing else could be meant: an EMAILID or X-GM-MSGID
that one leaving message has, else a Message-ID, size and INTERNALDATE that one stored message has, which is leaving. In
both cases there must be one arrival. Everything else is a removal and an arrival, or a copy.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from mailsync_grpc.model.changes import NewEnvelope
from mailsync_grpc.model.envelope import Envelope
from mailsync_grpc.model.evidence import MARK_BYTES, Evidence, MoveEvidence, evidence_of
from mailsync_grpc.model.folder import FolderProgress
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.values import Twin

ROUNDS = 3
"""Times that folders are looked at again in one turn; each may show halves that nobody had seen before."""

_NONE = UidSet()


@dataclass(slots=True)
class Transit:
    """What a worker knows of messages on their way between an account's folders; all of it can be lost.

    `folders` are those that are synced. `looked` tells when each was last looked at, `opened` when one last showed a half
    of a move, in `moments`, which are counted. `withheld` are the marks of arrivals that wait, `repeated` those of several.
    """

    folders: frozenset[FolderNo] = frozenset()
    moments: Iterator[int] = field(default_factory=lambda: count(1))
    looked: dict[FolderNo, int] = field(default_factory=dict)
    opened: dict[FolderNo, int] = field(default_factory=dict)
    withheld: set[bytes] = field(default_factory=set)
    repeated: set[bytes] = field(default_factory=set)

    @property
    def possible(self) -> bool:
        """Whether there is anywhere to move to."""
        return len(self.folders) > 1

    def note_look(self, folder: FolderNo) -> None:
        """Note that the folder was looked at."""
        self.looked[folder] = next(self.moments)

    def open(self, folder: FolderNo) -> None:
        """Note that the folder showed a half of a move."""
        self.opened[folder] = next(self.moments)

    def resume(self, folder: FolderNo) -> None:
        """Note what was left open in the folder, perhaps by a process that is dead."""
        if folder not in self.opened:
            self.open(folder)

    def due(self, folder: FolderNo) -> bool:
        """Whether something is open elsewhere that was seen after the folder's last look."""
        last = self.looked.get(folder, 0)
        return any(seen > last for other, seen in self.opened.items() if other != folder)

    def withhold(self, messages: Iterable[NewEnvelope]) -> None:
        """Note arrivals that wait, so that two which look alike are known for that when they are decided one by one."""
        for message in messages:
            mark = message.envelope_id[:MARK_BYTES]
            (self.repeated if mark in self.withheld else self.withheld).add(mark)

    def close(self) -> None:
        """Note that everything that was open is decided, but for what cannot be looked at."""
        self.opened.clear()
        self.withheld.clear()
        self.repeated.clear()


def opens(before: FolderProgress, after: FolderProgress) -> bool:
    """Whether a look that made `after` of `before` showed a half of a move."""
    return bool(after.leaving - before.leaving or after.arriving - before.arriving)


def marks(messages: Iterable[NewEnvelope]) -> list[bytes]:
    """Return what to look up twins of the messages by."""
    found = {message.envelope_id[:MARK_BYTES] for message in messages if evidence_of(message.envelope)}
    return sorted(found)


def suspects(
    messages: Iterable[NewEnvelope], twins: Iterable[Twin], elsewhere: Container[FolderNo]
) -> list[NewEnvelope]:
    """Return the arrivals that may have come from a folder of `elsewhere`, since it holds or held the same message."""
    held = {twin.evidence for twin in twins if not twin.former and twin.folder in elsewhere}
    return [message for message in messages if evidence_of(message.envelope) in held] if held else []


def match(
    folder: FolderNo,
    arrivals: Sequence[NewEnvelope],
    twins: Iterable[Twin],
    leaving: Mapping[FolderNo, UidSet],
    repeated: Container[bytes] = (),
) -> dict[int, Twin]:
    """Return by UID the leaving message of another folder that an arrival in `folder` is, where only one can be meant.

    `leaving` are the leaving messages of every folder, `repeated` the marks that several withheld arrivals have.
    """
    stored = _by_evidence(twin for twin in twins if not twin.former)
    alike = Counter(evidence_of(message.envelope) for message in arrivals)
    found: dict[int, Twin] = {}
    for message in arrivals:
        evidence = evidence_of(message.envelope)
        if evidence is None or alike[evidence] > 1 or message.envelope_id[:MARK_BYTES] in repeated:
            continue
        same = stored.get(evidence, [])
        gone = [twin for twin in same if twin.uid in leaving.get(twin.folder, _NONE)]
        # The server itself vouches for its ids; the other evidence is only as good as it is rare.
        if len(gone) == 1 and gone[0].folder != folder and (message.envelope.email_id or len(same) == 1):
            found[message.uid] = gone[0]
    return found


def evidence_kind(envelope: Envelope, *, gmail: bool) -> MoveEvidence:
    """Return what shows that two messages of this evidence are one; `gmail` says whose ids the server gives."""
    if not envelope.email_id:
        return MoveEvidence.MESSAGE_ID_SIZE_DATE
    return MoveEvidence.GMAIL_MESSAGE_ID if gmail else MoveEvidence.EMAIL_ID


def departed(progress: FolderProgress, uids: Iterable[int]) -> FolderProgress:
    """Return the progress of the folder that its leaving `uids` are found to have moved from."""
    gone = UidSet.of(uids)
    return replace(progress, leaving=progress.leaving - gone, stored=progress.stored - len(gone))


def rebound(messages: Sequence[NewEnvelope], twins: Iterable[Twin], folder: FolderNo) -> list[NewEnvelope]:
    """Return the messages of a renumbered folder, each with the id it had before where only one can be meant."""
    own = _by_evidence(twin for twin in twins if twin.folder == folder)
    alike = Counter(evidence_of(message.envelope) for message in messages)
    return [_rebound(message, own, alike) for message in messages]


def _rebound(
    message: NewEnvelope, own: Mapping[Evidence, list[Twin]], alike: Mapping[Evidence | None, int]
) -> NewEnvelope:
    evidence = evidence_of(message.envelope)
    before = own.get(evidence, []) if evidence is not None else []
    if alike[evidence] == 1 and len(before) == 1 and before[0].former:
        return message._replace(envelope_id=before[0].envelope_id)
    return message


def _by_evidence(twins: Iterable[Twin]) -> Mapping[Evidence, list[Twin]]:
    found: dict[Evidence, list[Twin]] = defaultdict(list)
    for twin in twins:
        found[twin.evidence].append(twin)
    return found
