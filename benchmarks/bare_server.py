"""A server with mailsync's transport settings and guards and none of its services, for references to be measured on."""

import grpc

from mailsync_grpc.config import Config
from mailsync_grpc.keyring import KEY_BYTES
from mailsync_grpc.server import api
from mailsync_grpc.services.core import Core
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.vault import Vault


def bare_server(config: Config) -> grpc.aio.Server:
    """Return the server, to be made inside a running event loop."""
    return api.make_server(Core(MemoryStore(), Vault(bytes(KEY_BYTES)), config))
