"""What each call needs: one table from the contract's calls to scopes. What it does not name is refused."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mailsync_grpc.errors import PermissionDeniedError
from mailsync_grpc.model.access import Scope

HEALTH: Final = "/grpc.health.v1.Health/"
"""Open to all: load balancers carry no token."""
_OURS: Final = "/mailsync.v1."
_REFLECTION: Final = "/grpc.reflection."

_CALLS: Final[Mapping[Scope | None, str]] = {
    None: "SystemService.GetServerInfo",
    Scope.READ_METADATA: """
        AccountService.GetAccount AccountService.ListAccounts AccountService.GetSyncRun AccountService.ListSyncRuns
        FolderService.ListFolders FolderService.GetFolder
        EnvelopeService.GetEnvelope EnvelopeService.ListEnvelopes EnvelopeService.ExportEnvelopes
        EnvelopeService.ListThreads EventService.WatchEvents EventService.GetEventLog SystemService.GetStats""",
    Scope.READ_CONTENT: "ContentService.DownloadContent",
    Scope.MODIFY_MAIL: """
        FolderService.CreateFolder FolderService.RenameFolder FolderService.DeleteFolder FolderService.Subscribe
        FolderService.Unsubscribe EnvelopeService.ModifyFlags EnvelopeService.MoveEnvelopes
        EnvelopeService.CopyEnvelopes EnvelopeService.DeleteEnvelopes EnvelopeService.AppendMessage""",
    Scope.MANAGE_ACCOUNTS: """
        AccountService.CreateAccount AccountService.UpdateAccount AccountService.DeleteAccount
        AccountService.PauseAccount AccountService.ResumeAccount AccountService.BeginAuthorization
        AccountService.CompleteAuthorization AccountService.DiscoverSettings AccountService.StartSync
        AccountService.CancelSyncRun FolderService.UpdateFolder FolderService.SelectFolders""",
    Scope.ADMIN: """
        SystemService.CreateToken SystemService.ListTokens SystemService.RevokeToken
        SystemService.PurgeContentCache""",
}

NEEDED: Final[Mapping[str, Scope | None]] = MappingProxyType(
    {call: scope for scope, calls in _CALLS.items() for call in calls.split()}
)
"""The scope of each call, `Service.Method`; None where any valid token will do."""
CHANGING: Final = frozenset(
    call
    for call, scope in NEEDED.items()
    if scope in {Scope.MODIFY_MAIL, Scope.MANAGE_ACCOUNTS, Scope.ADMIN}
    and not call.endswith((".ListTokens", ".DiscoverSettings"))
)
"""Calls that manage this server or change mail: those the audit log tells of."""


def changes_mail(path: str) -> bool:
    """Whether a call changes mail, and so waits for the mail server."""
    return NEEDED.get(call_of(path)) is Scope.MODIFY_MAIL


def call_of(path: str) -> str:
    """Return `Service.Method` of a path of the contract, the path itself of any other."""
    return path.removeprefix(_OURS).replace("/", ".") if path.startswith(_OURS) else path


def require(path: str, scopes: frozenset[Scope]) -> None:
    """Raise PermissionDeniedError unless a caller with these scopes may make this call."""
    if path.startswith(_REFLECTION):
        return
    call = call_of(path)
    if call not in NEEDED:
        raise PermissionDeniedError(f"{call}: no scope allows this call")
    needed = NEEDED[call]
    if needed is not None and needed not in scopes:
        raise PermissionDeniedError(f"{call} needs scope {needed.name}, which this token lacks")
