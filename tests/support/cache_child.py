"""A process to be killed: `python -m tests.support.cache_child <directory> <acknowledgements>` fills a content cache.

Entries are made for ever, large and small, deleted and used between, and the cap is passed again and again, so that a
kill falls into every step of a write, of a cleaning and of a purge. Each entry that is whole is acknowledged.
"""

import random
import sys
from pathlib import Path

from mailsync_grpc.content.cache import Cache
from mailsync_grpc.content.cleaning import Limits
from mailsync_grpc.content.names import entry_of, owner_of
from mailsync_grpc.content.parts import Part
from mailsync_grpc.content.sealed import CHUNK
from tests.unit.content.fakes import KEY, message

UIDS = 40
LIMITS = Limits(40 * CHUNK, 1.0)


def content_of(uid: int) -> bytes:
    """What the content of a UID is, so that any process can tell whether an entry holds it."""
    return random.Random(uid).randbytes(uid * CHUNK // 8)


def keep(cache: Cache, uid: int) -> bool:
    """Write an entry as a download does, chunk by chunk."""
    draft = cache.draft(entry_of(KEY, message(uid), "1"), Part("1", "text/plain", size=uid))
    if draft is None:
        return False
    content = content_of(uid)
    for start in range(0, len(content), CHUNK):
        cache.append(draft, content[start : start + CHUNK])
    kept = cache.commit(draft)
    draft.file.close()
    return kept


def main(directory: Path, acknowledgements: Path) -> None:
    cache, dice = Cache(directory, KEY, LIMITS), random.Random()
    with acknowledgements.open("ab", buffering=0) as told:
        while True:
            uid = dice.randrange(1, UIDS + 1)
            found = cache.find(entry_of(KEY, message(uid), "1"))
            if found is not None:
                found.file.close()
            if keep(cache, uid):
                told.write(b"%d\n" % uid)
            if dice.random() < 0.1:
                cache.purge(owner_of(message(dice.randrange(1, UIDS + 1))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
