"""Paths of folders by resource name, for people who know folders by their paths."""

from collections.abc import Iterable, Mapping

import grpc

from mailsync_grpc.cli.names import list_folders
from mailsync_grpc.cli.session import Session
from mailsync_grpc.v1.event_pb2 import Event
from mailsync_grpc.v1.folder_pb2 import Folder


class FolderPaths:
    """Paths asked for once an account, then kept up by its events."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._paths: dict[str, str] = {}
        self._accounts: set[str] = set()

    def at(self, event: Event) -> Mapping[str, str]:
        """The paths as they are after this event."""
        if event.folder and event.folder not in self._paths and event.account not in self._accounts:
            self._accounts.add(event.account)
            self._ask(event.account)
        if event.HasField("folder_changed"):
            self._paths[event.folder] = event.folder_changed.folder.path
        return self._paths

    def learn(self, folders: Iterable[Folder]) -> None:
        """Take the paths of folders that came without being asked for."""
        self._paths.update({folder.name: folder.path for folder in folders})

    def _ask(self, account: str) -> None:
        try:
            for page in list_folders(self._session, account):
                self.learn(page.folders)
        except grpc.RpcError as error:
            # Gone since, or hidden: its events are still worth a line, which names folders by their ids then.
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
