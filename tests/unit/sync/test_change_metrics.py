"""How the end of a change is counted."""

import pytest

from mailsync_grpc.model.intent import Outcome, Refused
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync.change_metrics import word_for

SOME, OTHERS = UidSet.parse("1:3"), UidSet.parse("4")


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Outcome(SOME), "done"),
        (Outcome(uid=7), "done"),
        (Outcome(SOME, refused=(Refused(OTHERS, "IMAP_REFUSED", "no"),)), "partial"),
        (Outcome(refused=(Refused(OTHERS, "IMAP_REFUSED", "no"),)), "refused"),
        (Outcome(error_reason="FOLDER_EXISTS"), "refused"),
        (Outcome(SOME, refused=(Refused(OTHERS, "OUTCOME_UNKNOWN", "?"),)), "unknown"),
        (Outcome(error_reason="OUTCOME_UNKNOWN"), "unknown"),
    ],
)
def test_a_change_is_counted_by_the_worst_that_became_of_its_messages(outcome: Outcome, word: str) -> None:
    assert word_for(outcome) == word
