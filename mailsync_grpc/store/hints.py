"""Wake-ups between the processes of one data directory: a datagram says "something was committed", no more.

Each process has a Unix datagram socket in the directory `hints`. A sender passes an octet to every socket there and
removes those nobody listens at any more. Losing a hint is harmless, every reader also looks by itself; so nothing here
waits or fails.
"""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_DIRECTORY = "hints"
_HINT = b"\0"


class Hints:
    """Sends hints to the other processes and calls `heard` (from a thread of its own) when one comes."""

    def __init__(self, data_dir: Path, heard: Callable[[], None]) -> None:
        self._heard = heard
        path = data_dir / _DIRECTORY
        path.mkdir(mode=0o700, exist_ok=True)
        self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._name = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._address(self._name))
        self._thread = threading.Thread(target=self._listen, name="mailsync-hints", daemon=True)
        self._thread.start()

    def _address(self, name: str) -> str:
        # A socket's path is limited to 108 octets, which a data directory may exceed; its descriptor's path is short.
        return f"/proc/self/fd/{self._directory}/{name}"

    def send(self) -> None:
        """Tell every other process. Never blocks, never fails."""
        with suppress(OSError):  # no descriptor may be left to list the directory with
            for name in os.listdir(self._directory):  # noqa: PTH208 # a descriptor has no Path
                if name != self._name:
                    self._send_to(name)

    def _send_to(self, name: str) -> None:
        try:
            self._socket.sendto(_HINT, socket.MSG_DONTWAIT, self._address(name))
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._directory)
        except OSError:
            # Its queue is full, so it is about to look; or it is gone.
            pass

    def _listen(self) -> None:
        while self._socket.recv(1):
            self._heard()

    def close(self) -> None:
        """Stop listening."""
        # Ends the thread's recv, with nothing received.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        with suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._directory)
        os.close(self._directory)
