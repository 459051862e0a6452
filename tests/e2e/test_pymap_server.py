"""The demo's mail server for machines without Dovecot takes the whole demo mailbox."""

import pytest

from mailsync_grpc.cli.demo import second_client
from mailsync_grpc.cli.demo.mailbox import demo_folders
from mailsync_grpc.cli.demo.pymap_server import PymapMissingError, PymapServer
from mailsync_grpc.cli.demo.second_client import mailbox_argument


def test_it_takes_the_demo_mailbox_and_what_a_client_does_to_it() -> None:
    folders = demo_folders()
    with PymapServer("dana") as server:
        with server.connect("dana") as client:
            second_client.create_folders(client, [folder.name for folder in folders])
        for folder in folders:
            assert server.deliver("dana", folder.name, folder.deliveries) == len(folder.deliveries)
        with server.connect("dana") as client:
            for folder in folders:
                answer = client.select(mailbox_argument(folder.name))
                assert answer == ("OK", [str(len(folder.deliveries)).encode()])
            client.select("INBOX")
            assert client.store("1", "+FLAGS", r"(\Flagged)")[0] == "OK"
            client.copy("1", mailbox_argument("Projects/Ärger & Söhne"))
            assert client.select(mailbox_argument("Projects/Ärger & Söhne")) == ("OK", [b"26"])


def test_its_absence_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailsync_grpc.cli.demo.pymap_server.find_spec", lambda _name: None)
    with pytest.raises(PymapMissingError, match=r"pip install 'mailsync-grpc\[demo\]'"):
        PymapServer("dana")
