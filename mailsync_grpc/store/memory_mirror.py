"""One folder's envelopes as dictionaries, and the questions about them: the plainest statement of `MirrorReader`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mailsync_grpc.model.changes import KnownEnvelope
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store import flagblocks
from mailsync_grpc.store.codec.envelope import decode_internal_date, decode_partial, decode_summary
from mailsync_grpc.store.values import EnvelopeRow, FlagBlock, Summary


@dataclass(slots=True)
class Mirror:
    """The envelopes of one folder under one UIDVALIDITY.

    Rows and flag hashes are by UID, the table goes from hash to flags, `outside` are UIDs that the window leaves out. A
    `former` one keeps its folder's ids until the folder is synced again, and is otherwise gone.
    """

    folder: FolderNo
    rows: dict[int, EnvelopeRow] = field(default_factory=dict)
    hashes: dict[int, int] = field(default_factory=dict)
    table: dict[int, Flags] = field(default_factory=dict)
    outside: UidSet = UidSet()
    former: bool = False

    def fork(self) -> "Mirror":
        """Return an independent copy."""
        return replace(self, rows=dict(self.rows), hashes=dict(self.hashes), table=dict(self.table))

    def page(
        self, after_uid: int | None, limit: int, max_bytes: int, *, newest_first: bool
    ) -> tuple[list[EnvelopeRow], bool]:
        """Return the rows of `Store.page`, and whether there are more."""
        uids = sorted(self.rows, reverse=newest_first)
        if after_uid is not None:
            uids = [uid for uid in uids if (uid < after_uid if newest_first else uid > after_uid)]
        rows: list[EnvelopeRow] = []
        for uid in uids[:limit]:
            max_bytes -= self.rows[uid].octets
            if rows and max_bytes < 0:
                break
            rows.append(self.rows[uid])
        return rows, len(rows) < len(uids)

    def known(self, uids: Sequence[int]) -> list[KnownEnvelope]:
        """As `Store.known`."""
        found = [self.rows[uid] for uid in uids if uid in self.rows]
        return [KnownEnvelope(row.uid, row.envelope_id, *decode_summary(row.basic)) for row in found]

    def summaries(self, after_uid: int, limit: int) -> list[Summary]:
        """As `Store.summaries`."""
        rows = [self.rows[uid] for uid in sorted(self.rows) if uid > after_uid][:limit]
        return [Summary(row.uid, decode_internal_date(row.basic), decode_partial(row.detail)) for row in rows]

    def blocks(self, first: int, limit: int) -> list[FlagBlock]:
        """As `Store.flag_blocks`."""
        hashes = sorted(self.hashes.items())
        packed = flagblocks.pack([uid for uid, _ in hashes], [value for _, value in hashes])
        return [FlagBlock(*block) for block in packed.items() if block[0] >= first][:limit]
