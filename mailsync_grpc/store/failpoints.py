"""Points at which a crash test makes the process kill itself, as a power cut would.

`MAILSYNC_FAILPOINT=before_commit:3` dies at the third time that point is reached. Without the variable a point costs
one comparison.
"""

import os
import signal

_name, _, _count = os.environ.get("MAILSYNC_FAILPOINT", "").partition(":")
_left = int(_count or 1)


def hit(name: str) -> None:
    """Die here if the environment says so."""
    global _left  # noqa: PLW0603 # counts down over the life of the process, which is what it ends
    if name != _name:
        return
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
