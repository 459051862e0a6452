"""The gRPC server itself: transport settings, addresses, certificates.

Transport settings were chosen by measurement with grpcio 1.85: `ping_timeout_ms` (not `keepalive_timeout_ms`) with
`max_pings_without_data` 0 is what ends the connection of a frozen client; without `min_recv_ping_interval_…` clients
that ping are sent away (too_many_pings); the pending limits let thousands of streams open at once. Against peers that do
harm: a connection that does not finish its handshake ends after 10 s, one without calls after 5 min, and connections take at most
half of the process's file descriptors, so that store and mail servers find some; what streams that are opened and reset
at once (rapid reset) leave behind is bounded by the pending limits, at about 400 MB.
"""

import resource
from pathlib import Path
from typing import Final, NamedTuple

import grpc

from mailsync_grpc.config import Config, split_address
from mailsync_grpc.errors import ConfigError
from mailsync_grpc.server.certificates import Certificates
from mailsync_grpc.services.audit import Audit
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.interceptors import CallInterceptor
from mailsync_grpc.services.quotas import Quotas

_MAX_REQUEST: Final = 4 << 20
_MAX_RESPONSE: Final = 64 << 20
_MAX_CONNECTIONS: Final = 20_000


class Pings(NamedTuple):
    """How a client that is frozen, or gone without a word, is found out: it is pinged, and has to answer."""

    interval_ms: int
    timeout_ms: int


PINGS: Final = Pings(30_000, 10_000)


def options(pings: Pings) -> tuple[tuple[str, int], ...]:
    """Return the transport settings; see above."""
    return (
        ("grpc.max_receive_message_length", _MAX_REQUEST),
        ("grpc.max_send_message_length", _MAX_RESPONSE),
        ("grpc.keepalive_time_ms", pings.interval_ms),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.ping_timeout_ms", pings.timeout_ms),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
        ("grpc.server.max_pending_requests", 10_000),
        ("grpc.server.max_pending_requests_hard_limit", 20_000),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.max_connection_idle_ms", 300_000),
        ("grpc.max_concurrent_streams", 10_000),
        # A second server on the same port is an error, not a sharer of its calls.
        ("grpc.so_reuseport", 0),
    )


def make_server(core: Core, pings: Pings = PINGS) -> grpc.aio.Server:
    """Return a server with every guard in place and no address yet. Raises ConfigError."""
    guard = CallInterceptor(core.callers, Quotas(core.config.quota), Audit(core.config.audit_file))
    return grpc.aio.server(interceptors=[guard], options=(*options(pings), _connections()))


def _connections() -> tuple[str, int]:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return "grpc.max_allowed_incoming_connections", min(_MAX_CONNECTIONS, descriptors // 2)


def bind(server: grpc.aio.Server, config: Config) -> str:
    """Add the configured address; return it with the port that was really taken.

    Raises ConfigError when the address cannot be listened on or a certificate cannot be read.
    """
    host, _ = split_address("listen", config.listen)
    try:
        if config.tls.cert_file is None:
            port = server.add_insecure_port(config.listen)
        else:
            port = server.add_secure_port(config.listen, Certificates(config.tls).credentials())
    except RuntimeError:
        port = 0
    if not port:
        raise ConfigError(f"listen={config.listen}: the address cannot be listened on; is it in use?")
    if host.startswith("unix:"):
        Path(host.removeprefix("unix:")).chmod(0o600)
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
