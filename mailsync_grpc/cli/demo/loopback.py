"""What the demo's mail servers have in common: where they listen and the password of their users."""

import socket
from contextlib import ExitStack

HOST = "127.0.0.1"
PASSWORD = "demo-password"  # noqa: S105  guards a mailbox of invented mail on loopback


def free_ports(number: int) -> list[int]:
    """That many TCP ports nobody listens on now; another program may still take one before its server does."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(number)]
        return [server.getsockname()[1] for server in servers]


def answers(port: int) -> bool:
    """Whether somebody accepts connections on a port."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
