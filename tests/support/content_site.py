"""`mailsync serve` with one account, and its content as a client gets it."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest

from mailsync_grpc.cli.demo import mime
from mailsync_grpc.v1 import (
    account_pb2,
    content_service_pb2,
    envelope_service_pb2,
    folder_service_pb2,
)
from tests.support.api import reason
from tests.support.content_corpus import HEAD
from tests.support.mail import AnyMailbox
from tests.support.service import Service, Stubs

LARGE = random.Random(11).randbytes(37_000_000)
"""50 MB in base64."""
PICTURE = random.Random(12).randbytes(30_000)
KIND = {
    "text": content_service_pb2.CONTENT_KIND_TEXT,
    "html": content_service_pb2.CONTENT_KIND_HTML,
    "raw": content_service_pb2.CONTENT_KIND_RAW,
}


def with_file(content: bytes, name: str = "file.bin") -> bytes:
    file = mime.part(
        b"application/octet-stream",
        mime.base64_lines(content),
        b"base64",
        b'Content-Disposition: attachment; filename="%b"' % name.encode(),
    )
    return HEAD + mime.multipart("mixed", b"m", [mime.part(b"text/plain", b"see file", b"7bit"), file])


class Site:
    """A service with one account, `work`, on a mailbox."""

    def __init__(self, service: Service, stubs: Stubs, mailbox: AnyMailbox) -> None:
        self.service, self.stubs, self.mailbox = service, stubs, mailbox

    @property
    def cache(self) -> Path:
        return self.service.data / "data" / "content"

    def sync(self, settings: account_pb2.SyncSettings | None = None) -> None:
        self.stubs.finish(self.stubs.register(self.mailbox, "work", settings))

    def inbox(self) -> str:
        request = folder_service_pb2.ListFoldersRequest(parent="accounts/work")
        found = self.stubs.folders.ListFolders(request).folders
        return next(folder.name for folder in found if folder.path == "INBOX")

    def names(self) -> dict[int, str]:
        """The envelopes the mirror holds, by UID."""
        request = envelope_service_pb2.ListEnvelopesRequest(parent=self.inbox(), page_size=100)
        return {each.uid: each.name for each in self.stubs.envelopes.ListEnvelopes(request).envelopes}

    def pieces(
        self, name: str, what: str, *, decode: bool = True
    ) -> Iterator[content_service_pb2.DownloadContentResponse]:
        request = content_service_pb2.DownloadContentRequest(name=name, decode=decode)
        if what in KIND:
            request.kind = KIND[what]
        elif "@" in what:
            request.content_id = what
        else:
            request.section = what
        yield from self.stubs.content.DownloadContent(request)

    def get(self, name: str, what: str, *, decode: bool = True) -> tuple[bytes, bool]:
        """Return content, whole and verified, and whether it came from the cache."""
        header, *chunks, trailer = self.pieces(name, what, decode=decode)
        octets = b"".join(piece.chunk for piece in chunks)
        assert trailer.trailer.sha256 == hashlib.sha256(octets).digest()
        return octets, header.header.cached

    def refused(self, name: str, what: str) -> str:
        with pytest.raises(grpc.RpcError) as raised:
            self.get(name, what)
        return reason(raised.value)  # type: ignore[arg-type]  # the same of a blocking call

    def metrics(self) -> str:
        with urlopen(self.service.metrics_url) as page:  # noqa: S310 - loopback, chosen by the test
            return str(page.read(), "utf-8")
