"""Consents, tokens and names of secrets on the command line, as people and programs give them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.cli import mailsync
from tests.support.house import House, housed
from tests.support.oauth_server import CLIENT, SECRET, redirected
from tests.support.service import wait_for


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with housed() as made:
        yield made


def at(house: House, user: str) -> tuple[str, ...]:
    return (
        *("--host", house.mail.host, "--port", str(house.mail.port), "--security", "plaintext"),
        *("--username", user, "--id", user),
    )


def run(house: House, *arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    return mailsync(*arguments, environment={"MAILSYNC_ADDRESS": house.service.address}, **options)


@contextmanager
def asking(house: House, directory: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A command that asks for a consent, and the address that it shows."""
    said = directory / "said"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAILSYNC_")}
    with said.open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "mailsync_grpc.cli", *arguments],
            env=inherited | {"MAILSYNC_ADDRESS": house.service.address, "COLUMNS": "60"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
        )

    def address() -> str | None:
        lines = [line for line in said.read_text().splitlines() if line.startswith("https://")]
        return lines[0] if lines else None

    with process:
        try:
            yield process, wait_for(address, 30, "the address")
        finally:
            process.kill()


def show(house: House, account: str) -> dict[str, object]:
    shown: dict[str, object] = json.loads(run(house, "account", "show", account, "--json").stdout)
    return shown


def test_a_consent_in_the_browser_adds_an_account(house: House, tmp_path: Path) -> None:
    with asking(house, tmp_path, "account", "add", *at(house, "anna"), "--provider", "house") as (
        process,
        url,
    ):
        back = house.provider.browse(url)
        redirect = house.provider.asked[-1]["redirect_uri"]
        with pytest.raises(OSError, match="404"):
            urlopen(redirected(redirect, back | {"state": "other"}))  # noqa: S310 - loopback, from the command
        with urlopen(redirected(redirect, back)) as page:  # noqa: S310 - loopback, from the command
            assert b"close this window" in page.read()
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, (tmp_path / "said").read_text()
    assert "added accounts/anna" in out
    assert show(house, "anna")["authKind"] == "AUTH_KIND_OAUTH"
    assert house.provider.asked[-1]["login_hint"] == "anna"
    assert back["code"] not in out + (tmp_path / "said").read_text()


def test_a_consent_in_a_browser_elsewhere_is_pasted(house: House, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    refresh = house.provider.consent("bert")
    endpoint = {"tokenEndpoint": house.provider.token_endpoint, "clientId": CLIENT, "clientSecret": SECRET}
    tokens.write_text(json.dumps({"refreshToken": refresh, **endpoint}))
    added = run(house, "account", "add", *at(house, "bert"), "--oauth", str(tokens))
    assert added.returncode == 0, added.stderr
    house.provider.user = "bert"
    command = ("account", "authorize", "bert", "--provider", "house", "--paste")
    with asking(house, tmp_path, *command) as (process, url):
        pasted = redirected("http://127.0.0.1/", house.provider.browse(url))
        out, _ = process.communicate(f"{pasted}\n", timeout=60)
    assert process.returncode == 0, (tmp_path / "said").read_text()
    assert "active" in out
    assert "oauth" in out


def test_a_refused_consent_says_so(house: House, tmp_path: Path) -> None:
    house.provider.user = None
    with asking(house, tmp_path, "account", "add", *at(house, "carl"), "--provider", "house", "--paste") as (
        process,
        url,
    ):
        process.communicate(f"{redirected('http://127.0.0.1/', house.provider.browse(url))}\n", timeout=60)
    assert process.returncode == 1
    assert "the provider says: access_denied" in (tmp_path / "said").read_text()


def test_a_secret_is_named_and_never_shown(house: House) -> None:
    (house.secrets / "dora").write_text("demo-password")
    added = run(house, "account", "add", *at(house, "dora"), "--secret-ref", "file:dora")
    assert added.returncode == 0, added.stderr
    shown = run(house, "account", "show", "dora").stdout
    assert "secret ref" in shown
    assert "file:dora" not in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--secret-ref", "file:x", "--provider", "house"), "one of --provider, --oauth, --secret-ref"),
        (("--provider", "unknown"), "provider: a provider that is configured: house"),
        (("--secret-ref", "file:missing"), "not among those that the operator allows"),
    ],
)
def test_what_cannot_be_is_said(house: House, arguments: tuple[str, ...], said: str) -> None:
    done = run(house, "account", "add", *at(house, "emil"), *arguments)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr


def test_tokens_that_cannot_be_read_are_not_quoted(house: House) -> None:
    done = run(house, "account", "add", *at(house, "emil"), "--oauth", "-", input='{"refreshToken": canary}')
    assert done.returncode == 1
    assert "clientId" in done.stderr
    assert "canary" not in done.stderr
