"""Every attribute of imaplib and imapclient that is not public and that `imap/` relies on, by name and behaviour.

imapclient is pinned to a minor version and Python's imaplib changes with Python: when one of these fails, look at the
module named in the test before raising the pin.
"""

import imaplib
import inspect

import pytest
from imapclient import IMAPClient

from mailsync_grpc.imap.session import GuardedClient
from mailsync_grpc.imap.wire import Wire
from tests.unit.imap.scripted import CREDENTIALS, ScriptedServer


@pytest.mark.parametrize("method", ["_simple_command", "_get_capabilities", "_log", "_mesg"])
def test_imaplib_has_the_private_methods_that_the_wire_calls_or_overrides(method: str) -> None:
    assert callable(getattr(imaplib.IMAP4, method))


@pytest.mark.parametrize(
    "method", ["open", "send", "read", "readline", "shutdown", "starttls", "authenticate"]
)
def test_imaplib_reaches_the_socket_by_the_methods_that_the_wire_overrides(method: str) -> None:
    assert inspect.isfunction(getattr(imaplib.IMAP4, method))
    assert getattr(Wire, method) is not getattr(imaplib.IMAP4, method)


@pytest.mark.parametrize("method", ["read", "readline", "send", "shutdown"])
def test_imaplib_leaves_the_stream_file_to_the_overridden_methods(method: str) -> None:
    """`Wire.open` makes no `file`; only these four of imaplib's methods may use it, and each is overridden."""
    users = {
        name
        for name, function in inspect.getmembers(imaplib.IMAP4, inspect.isfunction)
        if "self.file" in inspect.getsource(function)
    }
    assert users <= {"open", "read", "readline", "shutdown", "starttls"}
    assert method in vars(Wire)


def test_imapclient_makes_its_connection_by_the_method_that_is_overridden() -> None:
    assert "self._imap = self._create_IMAP4()" in inspect.getsource(IMAPClient.__init__)
    assert "_create_IMAP4" in vars(GuardedClient)


def test_imapclient_turns_debugging_up_only_while_it_is_made() -> None:
    assert "self._imap.debug = 5" in inspect.getsource(IMAPClient.__init__)
    assert inspect.getsource(IMAPClient).count("_imap.debug") == 1


def test_the_state_that_the_login_reads_is_where_imaplib_keeps_it() -> None:
    with ScriptedServer({}) as server, server.connect() as connection:
        wire = connection._channel.wire
        assert (wire.state, wire._tls_established, wire.literal) == ("AUTH", False, None)
        assert wire.capabilities == ("IMAP4REV1", "AUTH=PLAIN")
        assert wire.untagged_responses["CAPABILITY"] == [b"IMAP4rev1 AUTH=PLAIN"]


def test_errors_of_imapclient_are_those_of_imaplib() -> None:
    assert IMAPClient.Error is imaplib.IMAP4.error
    assert issubclass(IMAPClient.AbortError, imaplib.IMAP4.error)


@pytest.mark.parametrize("call", ["plain_login", "login"])
def test_a_refused_login_carries_the_servers_words(call: str) -> None:
    refused = b"<tag> NO [AUTHENTICATIONFAILED] wrong\r\n"
    capability = (
        b"* CAPABILITY IMAP4rev1"
        + (b" AUTH=PLAIN" if call == "plain_login" else b"")
        + b"\r\n<tag> OK\x20x\r\n"
    )
    script = {b"CAPABILITY": capability, b"AUTHENTICATE": refused, b"LOGIN": refused}
    with (
        ScriptedServer(script) as server,
        pytest.raises(Exception, match=r"login: \[AUTHENTICATIONFAILED\] wrong$"),
    ):
        server.connect()
    assert CREDENTIALS.password.encode() not in b"".join(server.received) or call == "login"
