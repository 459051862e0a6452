"""A private Dovecot as a library: a real mail server for the demo and the tests, started and stopped like a file.

It lives in a directory of its own under the temporary directory, listens on two ephemeral loopback ports (plain and
implicit TLS), knows only the users it was given and is gone without a trace at the end of its ``with`` block. Dovecot
refuses mail owned by root, so root starts it wholly as a user without privileges; anyone else starts it as themselves.
Nothing of a system-wide Dovecot, neither its configuration nor its ports, is read or disturbed.
"""

import grp
import imaplib
import os
import pwd
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from mailsync_grpc.cli.demo import second_client
from mailsync_grpc.cli.demo.certificates import make_certificates
from mailsync_grpc.cli.demo.dovecot_config import DovecotOptions, Site, introspection, render
from mailsync_grpc.cli.demo.loopback import HOST, PASSWORD, answers, free_ports
from mailsync_grpc.cli.demo.second_client import Delivery

_UNPRIVILEGED = ("nobody", "dovenull", "dovecot")
_PORT_ATTEMPTS = 3
_POLL_SECONDS = 0.01


class DovecotMissingError(Exception):
    """No Dovecot on this machine."""

    def __init__(self) -> None:
        super().__init__(
            "Dovecot is missing. Install it with: sudo apt-get install --no-install-recommends dovecot-imapd"
        )


class DovecotFailedError(Exception):
    """Dovecot was started but does not serve; the message ends with its log."""


class _Owner(NamedTuple):
    uid: int
    gid: int
    user: str
    group: str


class DovecotServer:
    """A Dovecot whose users all have the password ``PASSWORD``; it serves inside a ``with`` block.

    ``stop`` and ``start`` within the block take it down and bring it back on the same ports with the same mail.
    DovecotMissingError where there is none, DovecotFailedError where it does not serve in time.
    """

    def __init__(self, users: Iterable[str], options: DovecotOptions | None = None) -> None:
        self.users = tuple(users)
        self.host = HOST
        self._options = options or DovecotOptions()
        self._owner = _choose_owner()
        self._binary = find_dovecot()
        self._process: subprocess.Popen[bytes] | None = None
        self.directory = _make_directory(self._owner)
        self.certificates = make_certificates(self.directory)
        self.port, self.tls_port = free_ports(2)

    def __enter__(self) -> Self:
        try:
            self._start_on_free_ports()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, timeout: float = 10.0) -> None:
        """Start and wait, for at most ``timeout`` seconds, until both ports answer."""
        self._write_configuration()
        self._process = self._spawn()
        deadline = time.monotonic() + timeout
        while not (answers(self.port) and answers(self.tls_port)):
            if self._process.poll() is not None:
                raise DovecotFailedError(f"Dovecot ended with {self._process.returncode}:\n{self.log()}")
            if time.monotonic() > deadline:
                raise DovecotFailedError(f"Dovecot does not serve after {timeout:g} s:\n{self.log()}")
            time.sleep(_POLL_SECONDS)

    def stop(self, timeout: float = 10.0) -> None:
        """Stop with all connections; killed when it has not ended after ``timeout`` seconds."""
        if self._process is None:
            return
        # The whole process group: Dovecot's master leaves the processes of logged-in users behind.
        _signal_group(self._process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        _signal_group(self._process, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def connect(self, user: str, *, tls: bool = False) -> imaplib.IMAP4:
        """A connection of the second client, logged in; a context manager that logs out."""
        if not tls:
            return second_client.connect(HOST, self.port, user, PASSWORD)
        context = ssl.create_default_context(cafile=self.certificates.ca_file)
        return second_client.connect(HOST, self.tls_port, user, PASSWORD, tls=context)

    def deliver(self, user: str, folder: str, messages: Iterable[bytes | Delivery]) -> int:
        """Store messages in an existing folder as ``user`` would, in their order; their number."""
        with self.connect(user) as client:
            return second_client.deliver(client, folder, messages)

    def log(self) -> str:
        """What the server has said so far, errors of its start included."""
        logs = (self.directory / name for name in ("stderr.log", "dovecot.log"))
        return "".join(log.read_text("utf-8", "replace") for log in logs if log.exists())

    def _start_on_free_ports(self) -> None:
        # A port found free may be taken by another program before Dovecot binds it.
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self.start()
            except DovecotFailedError as failed:
                self.stop()
                if attempt == _PORT_ATTEMPTS or "Address already in use" not in str(failed):
                    raise
                (self.directory / "dovecot.log").unlink(missing_ok=True)
                self.port, self.tls_port = free_ports(2)
            else:
                return

    def _spawn(self) -> subprocess.Popen[bytes]:
        identity = self._owner if os.geteuid() == 0 else None
        with (self.directory / "stderr.log").open("ab") as complaints:
            return subprocess.Popen(
                [self._binary, "-F", "-c", str(self.directory / "dovecot.conf")],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                # A Ctrl-C on the demo's terminal must reach the demo, which then stops its servers in order.
                start_new_session=True,
                user=identity and identity.uid,
                group=identity and identity.gid,
                extra_groups=identity and (),
            )

    def _write_configuration(self) -> None:
        site = Site(self.directory, self.port, self.tls_port, self._owner.user, self._owner.group)
        version = _version_of(self._binary)
        (self.directory / "dovecot.conf").write_text(render(site, self._options, version), "utf-8")
        if self._options.introspection_url:
            (self.directory / "oauth2.conf").write_text(introspection(self._options), "utf-8")
        (self.directory / "users").write_text("".join(f"{user}:{PASSWORD}\n" for user in self.users), "utf-8")
        for path in (self.directory, *self.directory.iterdir()):
            os.chown(path, self._owner.uid, self._owner.gid)


def find_dovecot() -> str:
    """Path of the dovecot program; DovecotMissingError says what to install."""
    # Debian puts it where an ordinary user's PATH does not reach.
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which("dovecot", path=search)
    if found is None:
        raise DovecotMissingError
    return found


def _version_of(binary: str) -> tuple[int, int]:
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.match(r"(\d+)\.(\d+)", said)
    if match is None:
        raise DovecotFailedError(f"{binary} --version says {said!r}")
    return int(match[1]), int(match[2])


def _signal_group(leader: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, number)


def _choose_owner() -> _Owner:
    names = _UNPRIVILEGED if os.geteuid() == 0 else (pwd.getpwuid(os.geteuid()).pw_name,)
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return _Owner(entry.pw_uid, entry.pw_gid, name, grp.getgrgid(entry.pw_gid).gr_name)
    raise DovecotFailedError(f"none of the users {', '.join(names)} exists to run Dovecot as")


def _make_directory(owner: _Owner) -> Path:
    """A new directory that its owner can reach: not inside a temporary directory closed to others."""
    candidates = (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))  # noqa: S108  only as a parent of mkdtemp
    parent = next(path for path in candidates if _open_to_others(path) or owner.uid == os.geteuid())
    directory = Path(tempfile.mkdtemp(prefix="mailsync-dovecot-", dir=parent))
    directory.chmod(0o711)
    return directory


def _open_to_others(path: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in (path.resolve(), *path.resolve().parents))
