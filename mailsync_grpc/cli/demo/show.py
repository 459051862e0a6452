"""The demo's acts up to the live one, each with a heading and what a user of the API would see."""

import hashlib
import tempfile
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from mailsync_grpc.cli.content import content_request, to_file
from mailsync_grpc.cli.demo.live import Mirror
from mailsync_grpc.cli.demo.mail import DemoMail
from mailsync_grpc.cli.demo.script import INBOX
from mailsync_grpc.cli.envelope import list_envelopes
from mailsync_grpc.cli.envelope_view import envelope_table
from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.folder_view import folder_tree
from mailsync_grpc.cli.names import list_folders
from mailsync_grpc.cli.progress import follow_sync_run
from mailsync_grpc.cli.session import Session
from mailsync_grpc.cli.terminal import octets, plain
from mailsync_grpc.v1.account_service_pb2 import CreateAccountRequest
from mailsync_grpc.v1.envelope_pb2 import Attachment, Envelope, EnvelopeView
from mailsync_grpc.v1.folder_service_pb2 import SelectFoldersRequest

_ACCOUNT_ID = "demo"
_ROWS = 12
_LOGIN_SECONDS = 60.0


def print_mail_server(out: Console, mail: DemoMail) -> None:
    """Fill the mailbox, and say what is there."""
    _heading(out, "A mail server")
    with out.status("filling the mailbox"):
        messages, folders = mail.fill()
    protection = "TLS" if mail.endpoint.HasField("tls") else "clear text"
    _line(
        out,
        f"{mail.program} at {mail.endpoint.host}:{mail.endpoint.port} over {protection}:"
        f" {messages} messages in {folders} folders",
    )


def print_service(out: Console, address: str) -> None:
    """Say where the service is."""
    _heading(out, "The service")
    _line(out, f"mailsync serve, listening on {address}, with an empty store")


def mirror_account(session: Session, mail: DemoMail) -> Mirror:
    """Register the account, follow its first syncs, and show its folders."""
    _heading(session.out, "An account, and its first sync")
    request = CreateAccountRequest(account=mail.account(), account_id=_ACCOUNT_ID)
    created = session.call(session.accounts.CreateAccount, request, _LOGIN_SECONDS)
    account = created.account.name
    follow_sync_run(session, created.sync_run, "  INBOX and Sent, the default ")
    _select_all(session, account)
    _heading(session.out, "Its folders")
    first, *more = list_folders(session, account)
    folders = [folder for page in (first, *more) for folder in page.folders]
    session.out.print(Padding(folder_tree(account, folders), (0, 0, 0, 2)))
    return Mirror(account, {folder.path: folder.name for folder in folders}, first.resume_token)


def print_newest(session: Session, mirror: Mirror) -> None:
    """Show the newest messages of the INBOX."""
    _heading(session.out, f"The newest messages in {INBOX}")
    newest = list_envelopes(session, mirror.folders[INBOX], _ROWS, EnvelopeView.ENVELOPE_VIEW_BASIC)
    session.out.print(Padding(envelope_table(mirror.account, newest), (0, 0, 0, 1)))


def download_attachment(session: Session, mirror: Mirror) -> None:
    """Download the largest attachment in the INBOX. CommandError when there is none."""
    _heading(session.out, "An attachment, fetched when asked for")
    envelope, attachment = _largest_attachment(session, mirror)
    request = content_request(envelope.name, attachment.section, [])
    with tempfile.TemporaryDirectory(prefix="mailsync-demo-") as directory:
        path = Path(directory) / "attachment"
        trailer = to_file(session.content.DownloadContent(request, timeout=_LOGIN_SECONDS), path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    kind = f"{attachment.media_type}/{attachment.media_subtype}"
    _line(session.out, f"{attachment.file_name} ({kind}) of “{envelope.subject}”")
    _line(session.out, f"{octets(trailer.size)}, SHA-256 {digest}")


def print_live_heading(session: Session, mail: DemoMail, *, once: bool) -> None:
    """Say what comes, how to look from elsewhere, and what this mail server cannot show."""
    _heading(session.out, "Live: another mail program changes the mailbox, mailsync tells")
    if not mail.keeps_keywords:
        _line(session.out, f"{mail.program} keeps no keywords, so that step is left out")
    if not once:
        _line(
            session.out, f"elsewhere: mailsync watch --address {session.target.address}; Ctrl-C ends it all"
        )


def _select_all(session: Session, account: str) -> None:
    others = [
        folder.name
        for page in list_folders(session, account)
        for folder in page.folders
        if folder.selectable and not folder.selected
    ]
    selected = session.call(
        session.folders.SelectFolders, SelectFoldersRequest(parent=account, select=others)
    )
    follow_sync_run(session, selected.sync_run, "  all others, selected now     ")


def _largest_attachment(session: Session, mirror: Mirror) -> tuple[Envelope, Attachment]:
    envelopes = list_envelopes(session, mirror.folders[INBOX], 200, EnvelopeView.ENVELOPE_VIEW_FULL)
    found = [(envelope, part) for envelope in envelopes for part in envelope.attachments if part.file_name]
    if not found:
        raise CommandError("no message of the demo mailbox has an attachment")
    return max(found, key=lambda pair: pair[1].size)


def _heading(out: Console, text: str) -> None:
    out.print()
    out.print(Text(text, style="bold"))


def _line(out: Console, text: str) -> None:
    out.print(plain(f"  {text}", "dim"), soft_wrap=True)
