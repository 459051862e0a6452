r"""What a server means when it refuses: wrong credentials, or patience asked for.

The answer's response code decides (RFC 5530), and its words where servers send no code. The difference matters: wrong
credentials stop an account until they change, while a busy server is only asked again later.
"""

import re

from mailsync_grpc.errors import (
    ImapAuthError,
    ImapError,
    ImapExpiredError,
    ImapThrottledError,
    ImapUnreachableError,
)
from mailsync_grpc.imap.header_text import clean

_CODE = re.compile(r"\[([A-Z-]+)[^\]]*\]", re.IGNORECASE)
_THROTTLED_CODES = {"UNAVAILABLE", "LIMIT", "INUSE", "THROTTLED", "OVERQUOTA", "SERVERBUG"}
_REFUSED_CODES = {"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED", "CONTACTADMIN"}
_THROTTLED_WORDS = re.compile(
    r"too many|try again|try later|temporar|maximum number of|rate limit|throttl|exceeded|not available",
    re.IGNORECASE,
)
_EXPIRED = re.compile(
    r"\[EXPIRED\]|(?:session|token|credentials?|login) (?:has |have )?expired", re.IGNORECASE
)
_BYE = re.compile(r"\* BYE ?", re.IGNORECASE)
_MAX_REASON = 200


def refusal(text: str, secret: str = "") -> ImapError:
    """Return the error for a server that answers NO to the login with `text`; `secret` is blotted out of it."""
    reason = first_line(text, secret)
    if _asks_for_patience(text):
        return ImapThrottledError(f"the server asks for patience: {reason}")
    return ImapAuthError(f"the server refused the login: {reason}")


def farewell(line: str, secret: str = "") -> ImapError:
    """Return the error for a connection that the server closed with `line` as its last; a BYE says why."""
    bye = _BYE.match(line)
    if bye is None:
        return ImapUnreachableError("the server closed the connection")
    text = line[bye.end() :]
    reason = first_line(text, secret)
    if _asks_for_patience(text):
        return ImapThrottledError(f"the server asks for patience: {reason}")
    kind = ImapExpiredError if _EXPIRED.search(text) else ImapUnreachableError
    return kind(f"the server closed the connection: {reason}")


def first_line(text: str, secret: str = "") -> str:
    """Return the first line of what a server said: bounded, printable, without `secret`."""
    line = text.splitlines()[0] if text else ""
    if secret:
        line = line.replace(secret, "[hidden]")
    return clean(line).strip()[:_MAX_REASON] or "no reason given"


def response_code(text: str) -> str:
    """Return the name of the response code in what a server said (RFC 5530), in upper case; empty without one."""
    code = _CODE.search(text)
    return code[1].upper() if code else ""


def _asks_for_patience(text: str) -> bool:
    name = response_code(text)
    return name in _THROTTLED_CODES or (name not in _REFUSED_CODES and bool(_THROTTLED_WORDS.search(text)))
