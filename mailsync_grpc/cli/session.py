"""A command's conversation with the service: one channel, the calls of each service, and where output goes.

Without ``--tls-ca`` and ``--tls-cert`` an address on this machine is spoken to in clear text, as the service serves it by default, and any
other over TLS with the system's trust: the service refuses to listen there in clear text, and a token must not travel so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import grpc
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from rich.console import Console

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.terminal import to_people, to_people_beside
from mailsync_grpc.cli.uninterrupted import uninterrupted
from mailsync_grpc.config import is_local, split_address
from mailsync_grpc.v1.account_service_pb2_grpc import AccountServiceStub
from mailsync_grpc.v1.content_service_pb2_grpc import ContentServiceStub
from mailsync_grpc.v1.envelope_service_pb2_grpc import EnvelopeServiceStub
from mailsync_grpc.v1.event_service_pb2_grpc import EventServiceStub
from mailsync_grpc.v1.folder_service_pb2_grpc import FolderServiceStub
from mailsync_grpc.v1.system_service_pb2_grpc import SystemServiceStub

DEFAULT_ADDRESS = "127.0.0.1:50051"
CALL_SECONDS = 30.0
# A page ends at 1 MiB, but one envelope or folder of unusual size may stand alone above gRPC's default of 4 MiB.
_OPTIONS = [("grpc.max_receive_message_length", 64 << 20)]

Metadata = tuple[tuple[str, str | bytes], ...]
Request_contra = TypeVar("Request_contra", contravariant=True)
Response_co = TypeVar("Response_co", covariant=True)


class Method(Protocol[Request_contra, Response_co]):
    """A call that takes one message and answers one, as the stubs have them (grpc's own class is generic on paper only)."""

    def __call__(self, request: Request_contra, timeout: float, metadata: Metadata) -> Response_co:
        """Make the call. grpc.RpcError when it fails."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where the service is and how to be let in: the token, what to trust, what to show where it asks for a certificate."""

    address: str = DEFAULT_ADDRESS
    token: str | None = field(default=None, repr=False)
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        """CommandError for an address that is none, and for a token that no header carries."""
        try:
            split_address("--address", self.address)
        except ValueError as error:
            raise CommandError(str(error)) from None
        if self.token and not (self.token.isascii() and self.token.isprintable()):
            raise CommandError("--token: printable ASCII characters only")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise CommandError("--tls-cert and --tls-key go together: give both or none")

    @property
    def metadata(self) -> Metadata:
        """What every call carries: the bearer token (RFC 6750, section 2.1), if there is one."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def credentials(self) -> grpc.ChannelCredentials | None:
        """What TLS trusts and shows; None for clear text. OSError when a file cannot be read."""
        if self.tls_ca is None and self.tls_cert is None and is_local(self.address):
            return None
        return grpc.ssl_channel_credentials(*map(_octets, (self.tls_ca, self.tls_key, self.tls_cert)))

    def channel(self) -> grpc.Channel:
        """A channel for plain calls."""
        credentials = self.credentials()
        with uninterrupted():
            if credentials is None:
                return grpc.insecure_channel(self.address, _OPTIONS)
            return grpc.secure_channel(self.address, credentials, _OPTIONS)

    def aio_channel(self) -> grpc.aio.Channel:
        """A channel for a watch, whose silence must be noticed; to be made inside a running event loop."""
        credentials = self.credentials()
        with uninterrupted():
            if credentials is None:
                return grpc.aio.insecure_channel(self.address, _OPTIONS)
            return grpc.aio.secure_channel(self.address, credentials, _OPTIONS)


def _octets(file: Path | None) -> bytes | None:
    return None if file is None else file.read_bytes()


class Session:
    """An open channel, the services behind it, and the two consoles. ``json``: programs read, one object a line."""

    def __init__(self, target: Target, channel: grpc.Channel, *, json: bool = False) -> None:
        self.target = target
        self.channel = channel
        self.json = json
        self.out: Console = to_people()
        self.beside: Console = to_people_beside()
        self.accounts = AccountServiceStub(channel)
        self.folders = FolderServiceStub(channel)
        self.envelopes = EnvelopeServiceStub(channel)
        self.content = ContentServiceStub(channel)
        self.events = EventServiceStub(channel)
        self.system = SystemServiceStub(channel)

    def call(
        self,
        method: Method[Request_contra, Response_co],
        request: Request_contra,
        timeout: float = CALL_SECONDS,
    ) -> Response_co:
        """One call with the token and a deadline of ``timeout`` seconds. grpc.RpcError when it fails."""
        return method(request, timeout, self.target.metadata)

    def print_json(self, message: Message) -> None:
        """A message in ProtoJSON on one line, in ASCII, so that nothing in it can act on a terminal."""
        print(MessageToJson(message, indent=None), flush=True)


@contextmanager
def open_session(target: Target, *, json: bool = False) -> Iterator[Session]:
    """A session that closes its channel at the end."""
    with target.channel() as channel:
        yield Session(target, channel, json=json)
