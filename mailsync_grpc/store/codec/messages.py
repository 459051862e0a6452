"""API messages from stored records: accounts, folders and sync runs as clients see them.

Used by the services and by events alike, so that a record looks the same wherever it is met. Credentials are in none
of them. Times of the model are milliseconds, 0 meaning never, which on the wire is an unset field.
"""

from collections.abc import Iterator

import xxhash
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.model.account import Account, AccountState, SyncSettings
from mailsync_grpc.model.folder import Folder, FolderProgress
from mailsync_grpc.model.ids import folder_name
from mailsync_grpc.model.report import Report, ReportRecipient
from mailsync_grpc.model.run import RunState, SyncRun
from mailsync_grpc.model.window import SyncMode, Window
from mailsync_grpc.store.codec.wire import MILLIS, clean
from mailsync_grpc.v1 import account_pb2, envelope_pb2, errors_pb2, folder_pb2, sync_run_pb2

_INBOX = "INBOX"
_LASTING_IDS = frozenset({"OBJECTID", "X-GM-EXT-1"})
"""Capabilities of servers that name a message alike wherever it is (RFC 8474; Gmail)."""
_SUBSCRIBED = "\\Subscribed"


def timestamp(millis: int) -> Timestamp | None:
    """Return milliseconds since 1970 as a Timestamp, None for 0."""
    if not millis:
        return None
    message = Timestamp()
    message.FromMilliseconds(millis)
    return message


def _duration(seconds: float) -> Duration:
    message = Duration()
    message.FromMilliseconds(round(seconds * 1_000))
    return message


def error_reason(name: str) -> errors_pb2.ErrorReason.ValueType:
    """Return the reason of this name, written without its prefix; UNSPECIFIED for the empty and for unknown names."""
    found = errors_pb2.ErrorReason.DESCRIPTOR.values_by_name.get(f"ERROR_REASON_{name}")
    return errors_pb2.ErrorReason.ValueType(found.number if found else 0)


def account_etag(account: Account) -> str:
    """Return the version of what people edit: it changes with settings and credentials, not with the state."""
    edited = (
        account.display_name, account.email, account.host, account.port, account.security, account.username,
        account.sealed_credentials, account.ca_pem, account.client_certificate_pem, account.proxy_url,
        sorted(account.labels.items()), account.settings,
    )  # fmt: skip
    return xxhash.xxh3_64_hexdigest(repr(edited).encode("utf-8", "surrogatepass"))


def account_message(account: Account) -> account_pb2.Account:
    """Return the account without its secrets."""
    return account_pb2.Account(
        name=account.name,
        display_name=account.display_name,
        email_address=account.email,
        imap=_endpoint(account),
        username=account.username,
        auth_kind=account_pb2.AuthKind.ValueType(account.auth_kind)
        if account.sealed_credentials
        else account_pb2.AUTH_KIND_UNSPECIFIED,
        sync=_settings(account.settings),
        labels=account.labels,
        state=account_pb2.AccountState.ValueType(AccountState.PAUSED if account.paused else account.state),
        state_reason=error_reason(account.state_reason),
        state_message=clean(account.state_message),
        state_since=timestamp(account.state_since),
        capabilities=[clean(capability) for capability in account.capabilities],
        notices=_notices(account),
        create_time=timestamp(account.create_time),
        update_time=timestamp(account.update_time),
        etag=account_etag(account),
    )


def _endpoint(account: Account) -> account_pb2.ImapEndpoint:
    tls = account_pb2.TlsSettings(
        ca_pem=account.ca_pem, client_certificate_pem=account.client_certificate_pem
    )
    return account_pb2.ImapEndpoint(
        host=account.host,
        port=account.port,
        security=account_pb2.ImapSecurity.ValueType(account.security),
        tls=tls if tls.ByteSize() else None,
        proxy_url=account.proxy_url,
    )


def _settings(settings: SyncSettings) -> account_pb2.SyncSettings:
    return account_pb2.SyncSettings(
        poll_interval=_duration(settings.poll_interval),
        full_interval=_duration(settings.full_interval),
        batch_size=settings.batch_size,
        flags_window=settings.flags_window,
        mode=account_pb2.SyncMode.ValueType(settings.mode),
        window=None if settings.window.whole else _window(settings.window),
    )


def _window(window: Window) -> account_pb2.Window:
    if window.newest:
        return account_pb2.Window(newest=window.newest)
    if window.since:
        return account_pb2.Window(since=timestamp(window.since * MILLIS))
    span = account_pb2.SlidingWindow(days=window.days, months=window.months, years=window.years)
    return account_pb2.Window(sliding=span)


def _notices(account: Account) -> Iterator[account_pb2.AccountNotice.ValueType]:
    """Yield what the server and minimal mode keep the mirror from doing."""
    settings = account.settings
    if account.view_truncated:
        yield account_pb2.ACCOUNT_NOTICE_VIEW_TRUNCATED_BY_SERVER
    if settings.mode is not SyncMode.MINIMAL:
        return
    yield account_pb2.ACCOUNT_NOTICE_METADATA_ON_DEMAND
    if _LASTING_IDS.isdisjoint(account.capabilities):
        yield account_pb2.ACCOUNT_NOTICE_MOVES_NOT_DETECTED
    yield account_pb2.ACCOUNT_NOTICE_BOUNCES_NOT_DETECTED
    # The newest are told by their UIDs alone.
    if not settings.window.whole and not settings.window.newest:
        yield account_pb2.ACCOUNT_NOTICE_WINDOW_BY_SEARCH


def folder_etag(folder: Folder) -> str:
    """Return the version of what people edit of a folder: whether it is selected."""
    return xxhash.xxh3_64_hexdigest(folder.id + bytes((folder.selection,)))


def folder_message(folder: Folder, progress: FolderProgress, unseen: int = 0) -> folder_pb2.Folder:
    """Return the folder with how far its mirror is; `unseen` is for the caller to count."""
    return folder_pb2.Folder(
        name=folder.name,
        parent=folder_name(folder.account.id, folder.parent_id) if folder.parent_id else "",
        display_name=clean(folder.path[-1]),
        path=clean(folder.display_name),
        delimiter=clean(folder.delimiter),
        raw_name=folder.raw_name,
        depth=len(folder.path) - 1,
        special_use=_special_use(folder),
        attributes=[clean(attribute) for attribute in folder.attributes],
        selectable=folder.selectable,
        selected=folder.selected,
        subscribed=_SUBSCRIBED in folder.attributes,
        counts=_counts(progress, unseen) if progress.as_of else None,
        uid_validity=folder.uid_validity,
        uid_next=progress.uid_next,
        highest_modseq=progress.modseq,
        mailbox_id=clean(folder.mailbox_id),
        state=_folder_state(folder, progress),
        state_reason=error_reason(folder.error_reason),
        state_message=clean(folder.error_message),
        as_of=timestamp(progress.as_of),
        verified_at=timestamp(progress.verified_at),
        etag=folder_etag(folder),
    )


def _special_use(folder: Folder) -> folder_pb2.SpecialUse.ValueType:
    name = _INBOX if folder.display_name == _INBOX else folder.special_use.removeprefix("\\").upper()
    found = folder_pb2.SpecialUse.DESCRIPTOR.values_by_name.get(f"SPECIAL_USE_{name}")
    return folder_pb2.SpecialUse.ValueType(found.number if found else 0)


def _counts(progress: FolderProgress, unseen: int) -> folder_pb2.FolderCounts:
    pending = len(progress.pending)
    messages = progress.stored + pending if progress.expected_exists is None else progress.expected_exists
    return folder_pb2.FolderCounts(messages=messages, unseen=unseen, stored=progress.stored, pending=pending)


def _folder_state(folder: Folder, progress: FolderProgress) -> folder_pb2.FolderState.ValueType:
    if not folder.selected:
        return folder_pb2.FOLDER_STATE_NOT_SELECTED
    if folder.error_reason or folder.error_message:
        return folder_pb2.FOLDER_STATE_FAILED
    if progress.synced:
        return folder_pb2.FOLDER_STATE_SYNCED
    return folder_pb2.FOLDER_STATE_BACKFILLING if progress.cursor else folder_pb2.FOLDER_STATE_PENDING


def run_message(run: SyncRun) -> sync_run_pb2.SyncRun:
    """Return the sync run; while it runs and its rate is known, with the time that this leaves."""
    return sync_run_pb2.SyncRun(
        name=run.name,
        kind=sync_run_pb2.SyncRunKind.ValueType(run.kind),
        state=sync_run_pb2.SyncRunState.ValueType(run.state),
        full=run.full,
        folders=[folder_name(run.account.id, folder_id) for folder_id in run.folders],
        progress=sync_run_pb2.SyncProgress(
            messages_done=run.messages_done,
            messages_total=run.messages_total,
            folders_done=run.folders_done,
            folders_total=run.folders_total,
            messages_per_second=run.rate,
            remaining=_remaining(run),
        ),
        create_time=timestamp(run.create_time),
        start_time=timestamp(run.start_time),
        end_time=timestamp(run.end_time),
        error=_run_error(run),
    )


def _remaining(run: SyncRun) -> Duration | None:
    left = run.messages_total - run.messages_done
    return (
        _duration(left / run.rate) if run.state is RunState.RUNNING and run.rate > 0 and left >= 0 else None
    )


def report_message(report: Report) -> envelope_pb2.Report:
    """Return what a report message says."""
    return envelope_pb2.Report(
        kind=envelope_pb2.ReportKind.ValueType(report.kind),
        original_message_id=clean(report.original_message_id),
        recipients=[_recipient(recipient) for recipient in report.recipients],
        feedback_type=clean(report.feedback_type),
        auto_submitted=clean(report.auto_submitted),
        reporting_mta=clean(report.reporting_mta),
    )


def _recipient(recipient: ReportRecipient) -> envelope_pb2.ReportRecipient:
    return envelope_pb2.ReportRecipient(
        final_recipient=clean(recipient.final_recipient),
        original_recipient=clean(recipient.original_recipient),
        action=envelope_pb2.DeliveryAction.ValueType(recipient.action),
        status=clean(recipient.status),
        diagnostic=clean(recipient.diagnostic),
        remote_mta=clean(recipient.remote_mta),
    )


def _run_error(run: SyncRun) -> sync_run_pb2.SyncError | None:
    if not (run.error_reason or run.error_message):
        return None
    return sync_run_pb2.SyncError(reason=error_reason(run.error_reason), message=clean(run.error_message))
