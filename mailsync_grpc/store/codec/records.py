"""Records (accounts, folders, their progress, sync runs, access tokens) as JSON.

JSON is tolerant of age: a field that was added since takes its default, one that was dropped is passed over, so a new
version reads what an old one wrote. Octets are base64.
"""

from typing import Any, Generic, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter

from mailsync_grpc.model.access import AccessToken
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.folder import Folder, FolderProgress
from mailsync_grpc.model.run import SyncRun

Record = TypeVar("Record")


class RecordCodec(Generic[Record]):
    """Turns records of one kind into bytes and back."""

    def __init__(self, kind: type[Record]) -> None:
        # A dataclass takes no configuration from outside, a tuple of one does and hands it down.
        self._adapter: TypeAdapter[Any] = TypeAdapter(
            tuple[kind],  # type: ignore[valid-type] # mypy takes no variable for a type
            config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"),
        )

    def encode(self, record: Record) -> bytes:
        """Return the record as bytes."""
        return self._adapter.dump_json((record,))

    def decode(self, data: bytes) -> Record:
        """Return the record that `encode` made bytes of."""
        return cast(Record, self._adapter.validate_json(data)[0])


ACCOUNTS = RecordCodec(Account)
FOLDERS = RecordCodec(Folder)
PROGRESS = RecordCodec(FolderProgress)
RUNS = RecordCodec(SyncRun)
TOKENS = RecordCodec(AccessToken)
