"""What callers may write into an account: checked field by field, and turned into the model's values.

Editing is merging: the message of the account as it is takes over the fields that the mask names, and the result is
checked like a new one. What belongs to the contract and is not built is refused by name rather than ignored.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from mailsync_grpc.config import ImapConfig
from mailsync_grpc.errors import InvalidFieldError
from mailsync_grpc.model.account import Account, Security, SyncSettings
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.model.window import (
    EVERYTHING,
    MAX_DAYS,
    MAX_MONTHS,
    MAX_NEWEST,
    MAX_YEARS,
    SyncMode,
    Window,
)
from mailsync_grpc.services.auth_fields import Auth, read_auth
from mailsync_grpc.services.connection_fields import Way, read_way
from mailsync_grpc.services.fields import Violations, seconds
from mailsync_grpc.store.codec.messages import account_message
from mailsync_grpc.v1 import account_pb2 as pb

EDITABLE: Final = ("display_name", "email_address", "imap", "auth", "sync", "labels")

_MAX_LABELS = 64
_LABEL_KEY = re.compile(r"[a-z0-9._/-]{1,63}")
_HOST = re.compile(r"[^\s/@\[\]\x00-\x20\x7f-\x9f]{1,253}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DEFAULT_PORT: Final = {Security.IMPLICIT_TLS: 993, Security.STARTTLS: 143, Security.PLAINTEXT: 143}
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999, as far as a Timestamp goes."""


@dataclass(frozen=True, slots=True)
class AccountDraft:
    """An account as its caller wants it. `auth` is None where the stored credentials stay."""

    host: str
    port: int
    security: Security
    way: Way
    username: str
    auth: Auth | None
    display_name: str
    email: str
    labels: dict[str, str]
    settings: SyncSettings


def read_account(
    message: pb.Account,
    allowed: ImapConfig,
    now: int,
    stored_username: str = "",
    faults: Violations | None = None,
) -> AccountDraft:
    """Return the checked values of an account's message.

    `now` is milliseconds since 1970, `stored_username` the login name of an account that exists, whose credentials may be left out; `faults` holds
    what was found in the request so far. Raises InvalidFieldError with every violation for
    settings that are not built.
    """
    faults = faults or Violations()
    _check_texts(message, faults)
    check_labels(message.labels, "account.labels", faults)
    security = _security(message.imap, allowed, faults)
    stays = bool(stored_username) and message.auth.WhichOneof("credentials") is None
    auth = None if stays else read_auth(message.auth, allowed, now, faults)
    _check_endpoint(message.imap, faults)
    way = read_way(message.imap, faults)
    settings = _settings(message.sync, faults)
    faults.raise_any()
    return AccountDraft(
        host=message.imap.host,
        port=message.imap.port or _DEFAULT_PORT[security],
        security=security,
        way=way,
        username=auth.username if auth else stored_username,
        auth=auth,
        display_name=message.display_name,
        email=message.email_address,
        labels=dict(message.labels),
        settings=settings,
    )


def edited(account: Account, change: pb.Account, mask: FieldMask) -> pb.Account:
    """Return the account's message with the masked fields of `change`; an empty mask names those that are set.

    Raises InvalidFieldError for a mask that names anything else than editable fields.
    """
    paths = list(mask.paths) or [found.name for found, _ in change.ListFields() if found.name in EDITABLE]
    wrong = [path for path in paths if path.split(".")[0] not in EDITABLE or not _exists(path)]
    if wrong:
        raise InvalidFieldError(
            {"update_mask": f"no editable field: {', '.join(wrong)}; editable are {', '.join(EDITABLE)}"}
        )
    merged = account_message(account)
    FieldMask(paths=paths).MergeMessage(
        _with_parents(change, paths), merged, replace_message_field=True, replace_repeated_field=True
    )
    if "labels" in paths:  # MergeMessage adds to maps
        merged.ClearField("labels")
        merged.labels.update(change.labels)
    return merged


def _with_parents(change: pb.Account, paths: list[str]) -> pb.Account:
    """Return `change` with the messages that hold the fields of `paths`: MergeMessage clears no field of an absent one."""
    whole = pb.Account()
    whole.CopyFrom(change)
    for path in paths:
        holder: Message = whole
        for name in path.split(".")[:-1]:
            holder = getattr(holder, name)
            holder.SetInParent()
    return whole


def _exists(path: str) -> bool:
    return FieldMask(paths=[path]).IsValidForDescriptor(pb.Account.DESCRIPTOR)


def with_draft(account: Account, draft: AccountDraft) -> Account:
    """Return the account with what its caller wants; credentials, state and version are as they were."""
    return replace(
        account,
        host=draft.host,
        port=draft.port,
        security=draft.security,
        ca_pem=draft.way.ca_pem,
        client_certificate_pem=draft.way.client_certificate_pem,
        proxy_url=draft.way.proxy.url if draft.way.proxy else "",
        username=draft.username,
        display_name=draft.display_name,
        email=draft.email,
        labels=draft.labels,
        settings=draft.settings,
        view_truncated=account.view_truncated and account.host == draft.host,
    )


def new_account(draft: AccountDraft, no: AccountNo, account_id: str, now: int) -> Account:
    """Return the first version of an account, made at `now` (milliseconds since 1970), still without credentials."""
    blank = Account(no, account_id, 1, "", 0, draft.security, "", b"")
    return replace(with_draft(blank, draft), create_time=now, update_time=now, state_since=now)


def _check_texts(message: pb.Account, faults: Violations) -> None:
    name, address = message.display_name, message.email_address
    faults.unless(
        len(name) <= 200 and not _CONTROL.search(name),
        "account.display_name",
        "at most 200 characters, no controls",
    )
    faults.unless(
        not address or ("@" in address and len(address) <= 320 and not _CONTROL.search(address)),
        "account.email_address",
        "local-part@domain of at most 320 characters, or empty",
    )


def check_labels(labels: Mapping[str, str], field: str, faults: Violations) -> None:
    """Note what is wrong with labels that `field` holds."""
    faults.unless(len(labels) <= _MAX_LABELS, field, f"at most {_MAX_LABELS} labels")
    for key, value in labels.items():
        faults.unless(bool(_LABEL_KEY.fullmatch(key)), field, "keys of [a-z0-9._/-]{1,63}")
        right = len(value) <= 63 and not _CONTROL.search(value)
        faults.unless(right, field, "values of at most 63 characters")


def _check_endpoint(imap: pb.ImapEndpoint, faults: Violations) -> None:
    faults.unless(
        bool(_HOST.fullmatch(imap.host)),
        "account.imap.host",
        "a host name or address of at most 253 characters, without brackets",
    )
    faults.unless(imap.port <= 65_535, "account.imap.port", "1 to 65535, or 0 for the usual one")


def _security(imap: pb.ImapEndpoint, allowed: ImapConfig, faults: Violations) -> Security:
    if imap.security == pb.IMAP_SECURITY_UNSPECIFIED:
        return Security.IMPLICIT_TLS
    if imap.security not in {int(security) for security in Security}:
        faults.add("account.imap.security", "a value of ImapSecurity")
        return Security.IMPLICIT_TLS
    security = Security(imap.security)
    faults.unless(
        security is not Security.PLAINTEXT or allowed.allow_plaintext,
        "account.imap.security",
        "IMPLICIT_TLS or STARTTLS; the operator does not allow clear text (imap.allow_plaintext)",
    )
    return security


def _settings(sync: pb.SyncSettings, faults: Violations) -> SyncSettings:
    defaults = SyncSettings()
    poll = seconds(sync.poll_interval) if sync.HasField("poll_interval") else defaults.poll_interval
    full = seconds(sync.full_interval) if sync.HasField("full_interval") else defaults.full_interval
    batch = sync.batch_size or defaults.batch_size
    flags_window = sync.flags_window if sync.HasField("flags_window") else defaults.flags_window
    faults.unless(10 <= poll <= 3_600, "account.sync.poll_interval", "10 s to 1 h")
    faults.unless(600 <= full <= 366 * 86_400, "account.sync.full_interval", "10 min to 366 days")
    faults.unless(100 <= batch <= 5_000, "account.sync.batch_size", "100 to 5000, or 0 for 1000")
    faults.unless(flags_window <= 10_000, "account.sync.flags_window", "0 to 10000")
    return SyncSettings(
        poll, full, batch, flags_window, _mode(sync.mode, faults), _window(sync.window, faults)
    )


def _mode(asked: pb.SyncMode.ValueType, faults: Violations) -> SyncMode:
    known = not asked or asked in {int(mode) for mode in SyncMode}
    faults.unless(known, "account.sync.mode", "a value of SyncMode")
    return SyncMode(asked) if asked and known else SyncMode.FULL_METADATA


def _window(window: pb.Window, faults: Violations) -> Window:
    match window.WhichOneof("bound"):
        case "since":
            since = window.since.seconds + (window.since.nanos > 0)
            faults.unless(
                0 < since <= _LAST_SECOND, "account.sync.window.since", "after 1970 and before the year 10000"
            )
            return Window(since=since)
        case "newest":
            faults.unless(
                0 < window.newest <= MAX_NEWEST, "account.sync.window.newest", f"1 to {MAX_NEWEST} messages"
            )
            return Window(newest=window.newest)
        case "sliding":
            return _sliding(window.sliding, faults)
    return EVERYTHING


def _sliding(span: pb.SlidingWindow, faults: Violations) -> Window:
    for unit, value, most in (
        ("days", span.days, MAX_DAYS),
        ("months", span.months, MAX_MONTHS),
        ("years", span.years, MAX_YEARS),
    ):
        faults.unless(value <= most, f"account.sync.window.sliding.{unit}", f"0 to {most}")
    window = Window(days=span.days, months=span.months, years=span.years)
    faults.unless(window.slides, "account.sync.window.sliding", "at least one day, month or year")
    return window
