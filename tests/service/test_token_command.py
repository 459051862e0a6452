"""`mailsync token` on the machine itself: the first token, before a start and beside a running service, and its end."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import grpc
import pytest

from mailsync_grpc.v1 import system_service_pb2
from tests.support.cli import mailsync
from tests.support.service import Service, Stubs, running, wait_for

INFO = system_service_pb2.GetServerInfoRequest()


class Machine:
    """A data directory, with or without a service on it."""

    def __init__(self, directory: Path) -> None:
        self.service = Service(directory)
        self._data = {"MAILSYNC_DATA_DIR": str(directory / "data")}

    def token(self, *words: str) -> CompletedProcess[str]:
        return mailsync("token", *words, environment=self._data)

    def listed(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.token("list", "--json").stdout.splitlines()]

    def answers(self, secret: str | None) -> str:
        """The code with which the service answers a caller."""
        metadata = (("authorization", f"Bearer {secret}"),) if secret is not None else ()
        with Stubs(self.service.address) as stubs:
            try:
                stubs.system.GetServerInfo(INFO, metadata=metadata)
            except grpc.RpcError as error:
                return str(error.code().name)
        return "OK"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine on which nothing runs yet."""
    return Machine(tmp_path / "service")


def test_the_first_token_is_made_before_the_first_start(machine: Machine) -> None:
    made = machine.token("create", "--name", "admin")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert made.stdout == f"{secret}\n", "nothing else, so that a script can take it"
    assert "shown this once" in made.stderr
    (listed,) = machine.listed()
    assert listed["displayName"] == "admin"
    assert "TOKEN_SCOPE_ADMIN" in str(listed["scopes"])
    with running(machine.service):
        assert (machine.answers(secret), machine.answers(None)) == ("OK", "UNAUTHENTICATED")


def test_tokens_made_and_revoked_beside_a_running_service_count_within_seconds(machine: Machine) -> None:
    with running(machine.service):
        assert machine.answers(None) == "OK"
        secret = machine.token("create").stdout.strip()
        wait_for(lambda: machine.answers(secret) == "OK" or None, 30.0, "the token to be known")
        wait_for(lambda: machine.answers(None) != "OK" or None, 30.0, "the door to be closed")
        revoked = machine.token("revoke", str(machine.listed()[0]["name"]))
        assert revoked.returncode == 0, revoked.stderr
        wait_for(lambda: machine.answers(secret) != "OK" or None, 30.0, "the token to be refused")
        assert machine.answers(None) == "UNAUTHENTICATED", "the door stays closed"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "--account", "none"), "account not found: accounts/none"),
        (("create", "--label", "a=b", "--scope", "admin"), "token.scopes: ADMIN only without accounts"),
        (("create", "--label", "tenant"), "not a label: tenant"),
        (("revoke", "tokens/aaaaaaaaaaaaaaaa"), "token not found: tokens/aaaaaaaaaaaaaaaa"),
        (("revoke", "wrong"), "expected tokens/{token}"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(machine: Machine, words: tuple[str, ...], said: str) -> None:
    done = machine.token(*words)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert machine.listed() == []


def test_a_token_shows_what_it_allows_and_of_what(machine: Machine) -> None:
    machine.token("create", "--scope", "read-metadata", "--label", "tenant=a", "--days", "2")
    shown = machine.token("list").stdout
    assert "read metadata" in shown
    assert "tenant=a" in shown
    assert "admin" not in shown
