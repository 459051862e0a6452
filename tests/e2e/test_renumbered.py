"""A folder that gets another UIDVALIDITY between its look and its backfill: UIDs of the one mean nothing in the other."""

from mailsync_grpc.cli.demo.mailbox import messages
from tests.support.agreement import assert_agreed
from tests.support.hostile import METADATA, HostileServer
from tests.support.hostile_faults import meanwhile
from tests.support.mirror import Mirror

RENUMBERED = 4_000_000_000


def test_nothing_of_a_renumbered_folder_is_stored_under_its_old_numbering(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    mirror = hostile_mirror

    def renumber_and_end_the_slice() -> None:
        hostile.mail.renumber("INBOX", RENUMBERED)
        mirror.clock.skipped += 10

    mirror.mailbox.deliver(messages(30))
    hostile.once(METADATA, meanwhile(renumber_and_end_the_slice))
    mirror.settle()
    asked = len(hostile.sent(b'EXAMINE "INBOX"'))
    told = [event.backfilled for event in mirror.events() if event.HasField("backfilled")]
    old = [span for event in told if event.uid_validity != RENUMBERED for span in event.uids]
    assert [(span.first, span.last) for span in old] == [(21, 30)], "what was read before"
    assert asked < 10, "it is left to the next look"
    mirror.poll()
    assert_agreed(mirror)
