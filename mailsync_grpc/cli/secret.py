"""Where a mail or proxy password may come from: the environment, standard input, a prompt; never an argument.

Arguments are seen by every user of a machine in its list of processes, and kept in a shell's history.
"""

import os
import sys

import typer

from mailsync_grpc.cli.failures import CommandError

VARIABLE = "MAILSYNC_IMAP_PASSWORD"
PROXY_VARIABLE = "MAILSYNC_PROXY_PASSWORD"


def read_password(username: str, *, from_stdin: bool) -> str:
    """The password of a mail account. CommandError when there is nobody to ask, or the answer is empty."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif VARIABLE in os.environ:
        password = os.environ[VARIABLE]
    elif sys.stdin.isatty():
        password = typer.prompt(f"Password of {username}", hide_input=True, err=True)
    else:
        raise CommandError(f"no password: set {VARIABLE}, or use --password-stdin, or run it on a terminal")
    if not password:
        raise CommandError("the password is empty")
    return password


def read_proxy_password(place: str) -> str | None:
    """The password for the proxy at `place`, which may be empty; None where there is nobody to ask."""
    if PROXY_VARIABLE in os.environ:
        return os.environ[PROXY_VARIABLE]
    if not sys.stdin.isatty():
        return None
    password: str = typer.prompt(
        f"Password of the proxy {place}", default="", show_default=False, hide_input=True, err=True
    )
    return password
