"""A file that holds how far a watch came, so that the next one goes on from there.

The file holds the newest resume token and nothing else. It is written beside itself, brought to the disk and renamed, so
that a crash at any moment leaves the token before or the token after, never a part of one; who watches then sees again at
most what was printed and not yet recorded. What is no token is refused here, before the service is asked.
"""

import os
import re
from pathlib import Path

from mailsync_grpc.cli.failures import CommandError

# A token holds a position and 128 bits that authenticate it, as URL-safe base64, and is at most 4 KiB.
_TOKEN = re.compile(rb"[A-Za-z0-9_=-]{32,4096}")
_MOST_OCTETS = 8192


def looks_like_token(text: str) -> bool:
    """Whether a text can be a resume token at all; only the service knows whether it is one."""
    return text.isascii() and _TOKEN.fullmatch(text.encode()) is not None


class ResumeFile:
    """The file at ``path``; a link is followed, so that its target is what is replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._target = Path(os.path.realpath(path))
        self._draft = self._target.with_name(f".{self._target.name}.new")
        self._held = ""

    def read(self) -> str | None:
        """The token held; None when there is no such file. CommandError when it cannot be read or holds something else."""
        try:
            with self._target.open("rb") as file:
                held = file.read(_MOST_OCTETS).strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CommandError(
                f"{self.path}: {error.strerror}; name a file that can be read and replaced"
            ) from None
        if not _TOKEN.fullmatch(held):
            raise CommandError(
                f"{self.path}: holds no resume token and stays as it is; name another file, or delete it to begin at --since"
            )
        self._held = held.decode("ascii")
        return self._held

    def write(self, token: str) -> None:
        """Hold this token from now on. CommandError when the file cannot be replaced."""
        if token == self._held:
            return
        try:
            self._replace(token)
        except OSError as error:
            raise CommandError(f"{self.path}: the position cannot be recorded: {error.strerror}") from None
        self._held = token

    def _replace(self, token: str) -> None:
        self._draft.unlink(missing_ok=True)  # left by a watch that was killed
        descriptor = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(token.encode("ascii") + b"\n")
            file.flush()
            os.fsync(descriptor)
        self._draft.replace(self._target)
