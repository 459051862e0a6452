"""Checking requests: every violation of a request is collected and answered in one BadRequest.

The readers below take a resource name as callers write it and return what it names, or raise InvalidFieldError with the
form that is allowed.
"""

import re

from google.protobuf.duration_pb2 import Duration

from mailsync_grpc.errors import InvalidFieldError, MailsyncError
from mailsync_grpc.model import ids
from mailsync_grpc.store.codec.identity import View
from mailsync_grpc.v1 import envelope_pb2


class Violations:
    """Collects what is wrong with a request, by field path; the first fault of a field stands."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def add(self, field: str, allowed: str) -> None:
        """Note that `field` is wrong and what is allowed."""
        self._found.setdefault(field, allowed)

    def unless(self, right: bool, field: str, allowed: str) -> None:
        """Note a fault of `field` unless it is `right`."""
        if not right:
            self.add(field, allowed)

    def raise_any(self) -> None:
        """Raise InvalidFieldError with everything that was noted, if anything was."""
        if self._found:
            raise InvalidFieldError(self._found)


def is_label(text: str) -> bool:
    """Whether `text` is [a-z0-9-]*, short enough or not."""
    return re.fullmatch(r"[a-z0-9-]*", text) is not None


def seconds(duration: Duration) -> float:
    """Return the seconds of a duration, however large."""
    # Not ToTimedelta, which raises for what a caller may well send.
    return duration.seconds + duration.nanos / 1e9


def account_id(name: str, field: str = "name") -> str:
    """Return the id in an account's name."""
    parsed = ids.parse_account(name)
    if parsed is None:
        raise _form(field, "accounts/{account}, the id [a-z0-9-]{1,63}")
    return parsed


def folder_ref(name: str, field: str = "name") -> ids.FolderRef:
    """Return the parts of a folder's name."""
    parsed = ids.parse_folder(name)
    if parsed is None:
        raise _form(field, "accounts/{account}/folders/{folder}")
    return parsed


def envelope_ref(name: str, field: str = "name") -> ids.EnvelopeRef | ids.EnvelopeIdRef:
    """Return the parts of an envelope's name of either form."""
    parsed = ids.parse_envelope(name)
    if parsed is None:
        raise _form(
            field,
            "accounts/{account}/folders/{folder}/envelopes/{uid_validity}.{uid} or accounts/{account}/envelopes/{envelope_id}",
        )
    return parsed


def run_ref(name: str, field: str = "name") -> ids.RunRef:
    """Return the parts of a sync run's name."""
    parsed = ids.parse_run(name)
    if parsed is None:
        raise _form(field, "accounts/{account}/syncRuns/{run}")
    return parsed


def view(asked: envelope_pb2.EnvelopeView.ValueType, default: View, field: str = "view") -> View:
    """Return how much of an envelope is asked for, `default` where that is not said."""
    if asked and asked not in {int(each) for each in View}:
        raise InvalidFieldError({field: "a value of EnvelopeView"})
    return View(asked) if asked else default


def _form(field: str, form: str) -> MailsyncError:
    return InvalidFieldError({field: f"expected {form}"})
