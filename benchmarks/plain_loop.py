"""What one writes without a sync engine: imapclient, a search, and `fetch` in batches of UIDs."""

from imapclient import IMAPClient

from tests.support.mail import Mailbox

BATCH = 1_000
_ITEMS = (
    *"UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE".split(),
    "BODY.PEEK[HEADER.FIELDS (REFERENCES)]",
)


def fetch_metadata(mailbox: Mailbox, newest: int) -> int:
    """Read the metadata of the folder's `newest` messages; return how many there were."""
    with IMAPClient(mailbox.host, mailbox.port, ssl=False) as client:
        client.login(mailbox.user, mailbox.password)
        client.select_folder("INBOX", readonly=True)
        uids = sorted(client.search())[-newest:]
        return sum(
            len(client.fetch(uids[start : start + BATCH], _ITEMS)) for start in range(0, len(uids), BATCH)
        )
