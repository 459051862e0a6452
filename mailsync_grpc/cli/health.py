"""`mailsync health`: ask each service of a running server whether it serves (gRPC health checking protocol, v1)."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.table import Table
from rich.text import Text

from mailsync_grpc.cli.command import connected
from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.session import Session

# The empty name is the server as a whole.
_SERVICES = (
    "",
    "mailsync.v1.AccountService",
    "mailsync.v1.FolderService",
    "mailsync.v1.EnvelopeService",
    "mailsync.v1.ContentService",
    "mailsync.v1.EventService",
    "mailsync.v1.SystemService",
)
_SECONDS = 5.0


@connected
def health(session: Session) -> None:
    """Say whether the service serves; exit status 1 when it does not."""
    states = {service: _check(session, service) for service in _SERVICES}
    if session.json:
        session.print_json(health_pb2.HealthCheckResponse(status=states[""]))
    else:
        table = Table.grid(padding=(0, 3))
        for service, state in states.items():
            table.add_row(service or "server", _word(state))
        session.out.print(table)
    if states[""] != health_pb2.HealthCheckResponse.SERVING:
        raise CommandError("the service does not serve")


def _check(session: Session, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(session.channel)
    request = health_pb2.HealthCheckRequest(service=service)
    try:
        status: int = stub.Check(request, timeout=_SECONDS, metadata=session.target.metadata).status
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return int(health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        raise
    return status


def _word(state: int) -> Text:
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(state).lower().replace("_", " ")
    return Text(name, style="green" if state == health_pb2.HealthCheckResponse.SERVING else "bold red")
