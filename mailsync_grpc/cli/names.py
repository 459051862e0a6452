"""Resource names from what people type.

People know an account by its id and a folder by its path; the API knows ``accounts/{account}/folders/{folder}`` with an
opaque folder id that survives a rename. Both are accepted wherever a folder is asked for. What can be decided without
asking the service is decided by pure functions.
"""

from collections.abc import Iterator, Sequence

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.session import Session
from mailsync_grpc.model.ids import parse_account, parse_envelope, parse_folder
from mailsync_grpc.v1 import folder_pb2, folder_service_pb2


def account_resource(text: str) -> str:
    """``accounts/work`` of ``work`` or ``accounts/work``. CommandError for anything else."""
    name = text if text.startswith("accounts/") else f"accounts/{text}"
    if parse_account(name) is None:
        raise CommandError(f"not an account: {text} (its id has the letters a-z, digits and hyphens)")
    return name


def envelope_resource(text: str) -> str:
    """An envelope's name of itself or of ``work/{envelope_id}``. CommandError for anything else."""
    account, _, envelope_id = text.partition("/")
    name = text if text.startswith("accounts/") else f"accounts/{account}/envelopes/{envelope_id}"
    if parse_envelope(name) is None:
        raise CommandError(
            f"not an envelope: {text} (give ACCOUNT/ENVELOPE_ID as `mailsync envelopes` shows it, or its whole name)"
        )
    return name


def account_of(folder: str) -> str:
    """The account of a folder's resource name."""
    return "/".join(folder.split("/", 2)[:2])


def match_path(folders: Sequence[folder_pb2.Folder], path: str) -> folder_pb2.Folder | None:
    """The folder at a path; INBOX in any case (RFC 3501, section 5.1), others exactly."""
    wanted = "INBOX" if path.upper() == "INBOX" else path
    return next((folder for folder in folders if folder.path == wanted), None)


def list_folders(session: Session, account: str) -> Iterator[folder_service_pb2.ListFoldersResponse]:
    """The pages of an account's folders, in tree order."""
    request = folder_service_pb2.ListFoldersRequest(parent=account)
    while True:
        page = session.call(session.folders.ListFolders, request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def resolve_folders(session: Session, first: str, paths: Sequence[str]) -> list[str]:
    """Resource names of folders given as such, or as an account and paths. CommandError names what is not there."""
    if "/folders/" in first:
        return [_checked(name) for name in (first, *paths)]
    account = account_resource(first)
    if not paths:
        raise CommandError(f"which folder of {account}? Give its path too, such as: {first} INBOX")
    folders = [folder for page in list_folders(session, account) for folder in page.folders]
    return [_found(folders, path, account) for path in paths]


def resolve_folder(session: Session, first: str, path: str | None) -> str:
    """Resource name of one folder given as such, or as an account and a path."""
    return resolve_folders(session, first, [] if path is None else [path])[0]


def _checked(name: str) -> str:
    if parse_folder(name) is None:
        raise CommandError(f"not a folder: {name}")
    return name


def _found(folders: Sequence[folder_pb2.Folder], path: str, account: str) -> str:
    folder = match_path(folders, path)
    if folder is None:
        raise CommandError(f"{account} has no folder {path}; `mailsync folder list` shows those it has")
    return folder.name
