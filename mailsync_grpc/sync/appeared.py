"""What came to a folder since an intent was begun, as far as it can be told."""

from mailsync_grpc.errors import ImapRefusedError
from mailsync_grpc.imap.changing import ChangingConnection
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.sync.traces import Print, prints


def appeared(connection: ChangingConnection, folder: Folder, intent: Intent) -> dict[int, Print] | None:
    """Return what came to `folder`, by UID; None when the folder was renumbered, or its UIDNEXT was not known before."""
    try:
        opened = connection.examine(folder.raw_name)
    except ImapRefusedError:
        return None
    if not intent.uid_next or opened.uid_validity != intent.target_validity:
        return None
    return prints(connection.fetch_metadata(connection.present_from(intent.uid_next)))
