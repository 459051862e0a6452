"""Secrets that the operator keeps outside: `env:NAME` and `file:NAME`, looked up at each login and never kept.

Whoever may create accounts names the secret and the mail server it is sent to, so the operator says which secrets there
are and which domains may have them. A caller who also chose what TLS trusts could read the secret on a machine of their
own; unless any host may have it, such a caller names none. Of a failure callers learn nothing but that there is no such
secret for them; what it was is for the operator's log.
"""

import os
import re
import stat
from pathlib import Path

import structlog

from mailsync_grpc.config import SecretsConfig
from mailsync_grpc.errors import CredentialsNeededError
from mailsync_grpc.imap.endpoint import Endpoint, Security

ANY_HOST = "*"
_MAX_SECRET = 4_096
# No separator of directories and no dot in front: what is named is in the directory itself.
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
# What is not of this form may be anything, a password put in the wrong place too, and is not for the log.
_WELL_FORMED = re.compile(r"[a-z]{1,16}:[A-Za-z0-9._/-]{0,200}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_OWN_VARIABLES = "MAILSYNC_"

_log = structlog.get_logger(__name__)


class _NoSecretError(Exception):
    """There is no such secret; the message says why, to the operator."""


def secret_of(ref: str, endpoint: Endpoint, config: SecretsConfig) -> str:
    """Return the secret of this name for a mail server.

    Raises CredentialsNeededError, with the same words for what is not allowed and what is not there.
    """
    try:
        return _looked_up(ref, endpoint, config)
    except _NoSecretError as cause:
        shown = ref if _WELL_FORMED.fullmatch(ref) else "(malformed)"
        _log.warning("no_secret", ref=shown, host=endpoint.host, cause=str(cause))
        raise CredentialsNeededError(
            "the secret is not among those that the operator allows for this mail server, or is not there"
        ) from None


def _looked_up(ref: str, endpoint: Endpoint, config: SecretsConfig) -> str:
    if not _may_have(endpoint, config):
        raise _NoSecretError(
            "the mail server is not of secrets.hosts, or is not verified by the system's trust"
        )
    kind, _, name = ref.partition(":")
    if kind == "file" and config.directory is not None and _FILE_NAME.fullmatch(name):
        return _checked(_from_file(config.directory / name))
    if kind == "env" and _is_readable(name, config.env_prefix):
        return _checked(_from_environment(name))
    raise _NoSecretError("no such name can be read (secrets.directory, secrets.env_prefix)")


def _may_have(endpoint: Endpoint, config: SecretsConfig) -> bool:
    if ANY_HOST in config.hosts:
        return True
    host = endpoint.host.lower()
    known = any(host == domain.lower() or host.endswith(f".{domain.lower()}") for domain in config.hosts)
    return known and not endpoint.ca_pem and endpoint.security is not Security.PLAINTEXT


def _is_readable(name: str, prefix: str) -> bool:
    named = bool(prefix) and name.startswith(prefix) and _VARIABLE_NAME.fullmatch(name) is not None
    return named and not name.startswith(_OWN_VARIABLES)


def _from_environment(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise _NoSecretError("the variable is not set") from None


def _from_file(path: Path) -> str:
    try:
        # A pipe of that name must not hold up the login.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _NoSecretError("not a file")
            return file.read(_MAX_SECRET + 2).decode("utf-8")
    except UnicodeDecodeError:
        raise _NoSecretError("not in UTF-8") from None
    except OSError as error:
        raise _NoSecretError(error.strerror or type(error).__name__) from None


def _checked(text: str) -> str:
    secret = text.removesuffix("\n").removesuffix("\r")
    if not 0 < len(secret) <= _MAX_SECRET or _CONTROL.search(secret):
        raise _NoSecretError(f"not one line of 1 to {_MAX_SECRET} characters")
    return secret
