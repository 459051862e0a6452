"""Who takes part in the scenario: Dovecot, the real server, the bad network before it, the mirrors; and what they are asked."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mailsync_client import Client, state_hash
from mailsync_client.v1.account_pb2 import (
    IMAP_SECURITY_PLAINTEXT,
    Account,
    AccountAuth,
    ImapEndpoint,
    PasswordAuth,
    SyncSettings,
)
from mailsync_client.v1.account_service_pb2 import CreateAccountRequest, ListAccountsRequest, StartSyncRequest
from mailsync_client.v1.envelope_pb2 import ENVELOPE_VIEW_FULL, Envelope, Flags
from mailsync_client.v1.envelope_service_pb2 import ListEnvelopesRequest
from mailsync_client.v1.folder_service_pb2 import ListFoldersRequest, SelectFoldersRequest

from clients.scenario.mailbox import BusyMailbox
from clients.scenario.processes import MirrorProcess, Program, Server
from clients.scenario.proxy import Proxy
from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.cli.demo.loopback import PASSWORD

ACCOUNT = "accounts/scenario"
_USER = "scenario"
_PATIENCE_SECONDS = 120.0
_DEFAULT_SELECTION = frozenset({"INBOX", "Sent"})
_SYSTEM_FLAGS = {
    "seen": r"\Seen",
    "answered": r"\Answered",
    "flagged": r"\Flagged",
    "deleted": r"\Deleted",
    "draft": r"\Draft",
}


class Scenario:
    """The cast, and what can be asked of it."""

    def __init__(
        self, dovecot: DovecotServer, server: Server, proxy: Proxy, mailbox: BusyMailbox, client: Client
    ) -> None:
        self.server = server
        self.proxy = proxy
        self.mailbox = mailbox
        self.mirrors: list[MirrorProcess] = []
        self._client = client
        self._selected = _DEFAULT_SELECTION
        self._imap = ImapEndpoint(host=dovecot.host, port=dovecot.port, security=IMAP_SECURITY_PLAINTEXT)

    def start_mirrors(self) -> None:
        """Let each follow the account from where its file stands."""
        for mirror in self.mirrors:
            mirror.start()

    def kill_mirrors(self) -> None:
        """End each in the middle of whatever it does."""
        for mirror in self.mirrors:
            mirror.kill()

    def empty_mirrors(self) -> None:
        """Take their files away."""
        for mirror in self.mirrors:
            mirror.empty()

    def told(self, reason: str) -> list[int]:
        """How often each mirror spoke of a reason."""
        return [mirror.interruptions().count(reason) for mirror in self.mirrors]

    def start_server(self) -> None:
        """Start and wait until it answers."""
        self.server.start()
        self._client.accounts.ListAccounts(
            ListAccountsRequest(), wait_for_ready=True, timeout=_PATIENCE_SECONDS
        )

    def create_account(self) -> None:
        """Register the mailbox."""
        auth = AccountAuth(password=PasswordAuth(username=_USER, password=PASSWORD))
        settings = SyncSettings()
        settings.poll_interval.FromSeconds(10)
        account = Account(imap=self._imap, auth=auth, sync=settings)
        request = CreateAccountRequest(account=account, account_id=ACCOUNT.partition("/")[2])
        self._client.accounts.CreateAccount(request, timeout=_PATIENCE_SECONDS)
        self._selected = _DEFAULT_SELECTION

    def select(self, path: str, selected: bool) -> None:
        """Have a folder mirrored, or no longer."""
        folders = self._client.folders.ListFolders(
            ListFoldersRequest(parent=ACCOUNT), timeout=_PATIENCE_SECONDS
        )
        names = [folder.name for folder in folders.folders if folder.path == path]
        request = SelectFoldersRequest(
            parent=ACCOUNT, select=names if selected else [], deselect=[] if selected else names
        )
        self._client.folders.SelectFolders(request, timeout=_PATIENCE_SECONDS)
        self._selected = self._selected | {path} if selected else self._selected - {path}

    def sync(self) -> None:
        """Wait until the server holds what the mail server does."""
        self._client.accounts.StartSync(StartSyncRequest(name=ACCOUNT, full=True), timeout=_PATIENCE_SECONDS)
        _wait_until("the server holds what the mail server does", self._agrees)

    def settle(self) -> str:
        """Wait until the server holds what the mail server does, then until every mirror does; the state hash."""
        self.sync()
        listed = [envelope for folder in self._listed().values() for envelope in folder]
        expected = state_hash(listed)
        for mirror in self.mirrors:
            mirror.wait_for(expected, _PATIENCE_SECONDS)
        return expected

    def logs(self) -> dict[str, str]:
        """What everyone said last."""
        return {"server": self.server.log()} | {mirror.name: mirror.log() for mirror in self.mirrors}

    def _agrees(self) -> bool:
        listed = {
            path: {each.uid: _flag_names(each.flags) for each in envelopes}
            for path, envelopes in self._listed().items()
        }
        return listed == {path: self.mailbox.held(path) for path in self._selected}

    def _listed(self) -> dict[str, list[Envelope]]:
        request = ListFoldersRequest(parent=ACCOUNT, selected_only=True)
        folders = self._client.folders.ListFolders(request, timeout=_PATIENCE_SECONDS).folders
        return {folder.path: list(self._envelopes(folder.name)) for folder in folders}

    def _envelopes(self, folder: str) -> Iterator[Envelope]:
        request = ListEnvelopesRequest(parent=folder, view=ENVELOPE_VIEW_FULL, page_size=1000)
        while True:
            page = self._client.envelopes.ListEnvelopes(request, timeout=_PATIENCE_SECONDS)
            yield from page.envelopes
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


@contextmanager
def cast(programs: list[Program], directory: Path) -> Iterator[Scenario]:
    """Everyone, and at the end nobody any more."""
    with ExitStack() as stack:
        dovecot = stack.enter_context(DovecotServer([_USER]))
        server = Server(directory)
        stack.callback(server.stop)
        proxy = stack.enter_context(Proxy(server.port))
        client = stack.enter_context(Client.connect(server.address))
        scenario = Scenario(dovecot, server, proxy, BusyMailbox(dovecot, _USER, seed=7), client)
        for program in programs:
            scenario.mirrors.append(MirrorProcess(program, proxy.address, ACCOUNT, directory))
            stack.callback(scenario.mirrors[-1].kill)
        yield scenario


def _wait_until(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not after {_PATIENCE_SECONDS:g} s: {what}"
        time.sleep(0.2)


def _flag_names(flags: Flags) -> frozenset[str]:
    set_ones = {name for field, name in _SYSTEM_FLAGS.items() if getattr(flags, field)}
    return frozenset(set_ones | set(flags.keywords))
