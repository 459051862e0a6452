r"""Callers' changes on a whole service, its processes and its store, killed at the points that only it has."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from mailsync_grpc.v1 import envelope_pb2, folder_service_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from tests.support.mail import Mailbox, letters
from tests.support.service import Service, Stubs, running, wait_for

MESSAGES = 10


@pytest.fixture
def service(tmp_path: Path, mailbox: Mailbox) -> Iterator[Service]:
    """A running service that mirrors a mailbox of ten letters as account `work`."""
    mailbox.deliver(letters(MESSAGES))
    with running(Service(tmp_path)) as service:
        with Stubs(service.address) as stubs:
            stubs.finish(stubs.register(mailbox, "work"))
        yield service


def copy_request(stubs: Stubs, request_id: str) -> pb.CopyEnvelopesRequest:
    listed = stubs.folders.ListFolders(folder_service_pb2.ListFoldersRequest(parent="accounts/work")).folders
    folders = {folder.path: folder for folder in listed}
    return pb.CopyEnvelopesRequest(
        selection=pb.EnvelopeSelection(
            folder=folders["INBOX"].name,
            uid_validity=folders["INBOX"].uid_validity,
            uids=[envelope_pb2.UidRange(first=2, last=4)],
        ),
        destination=folders["Sent"].name,
        request_id=request_id,
    )


def in_progress(error: Any) -> bool:
    metadata = dict(error.trailing_metadata())
    info = error_details_pb2.ErrorInfo()
    status_pb2.Status.FromString(metadata["grpc-status-details-bin"]).details[0].Unpack(info)
    return bool(info.reason == "REQUEST_IN_PROGRESS")


def answered(stubs: Stubs, request: pb.CopyEnvelopesRequest) -> pb.CopyEnvelopesResponse:
    """The answer to a call that is repeated while an earlier one is at work."""

    def ask() -> pb.CopyEnvelopesResponse | None:
        try:
            return stubs.envelopes.CopyEnvelopes(request)
        except grpc.RpcError as error:
            if not in_progress(error):
                raise
            return None

    return wait_for(ask, 60, "the end of the first call")


def test_a_change_is_made_by_a_worker_and_answered_by_the_api_at_once(
    service: Service, mailbox: Mailbox
) -> None:
    with Stubs(service.address) as stubs:
        response = stubs.envelopes.CopyEnvelopes(copy_request(stubs, ""), timeout=60)
        assert [one.destination_uid for one in response.succeeded] == [1, 2, 3]
        request = pb.ListEnvelopesRequest(parent=copy_request(stubs, "").destination)
        listed = stubs.envelopes.ListEnvelopes(request)
        assert listed.read_revision >= response.visible_revision > 0
        assert [envelope.uid for envelope in listed.envelopes] == [3, 2, 1]
    assert sorted(mailbox.flags_by_uid("Sent")) == [1, 2, 3]
    shown = service.scrape()
    assert 'mailsync_changes_total{kind="copy",outcome="done"} 1.0' in shown
    assert 'mailsync_change_duration_seconds_count{kind="copy"} 1.0' in shown
    assert "mailsync_changes_oldest_age_seconds 0.0" in shown


@pytest.mark.parametrize("failpoint", ["before_intent", "after_intent"])
def test_a_server_killed_as_it_commits_an_intent_makes_the_change_once(
    service: Service, mailbox: Mailbox, failpoint: str
) -> None:
    request_id = str(uuid.uuid4())
    service.stop()
    service.environment["MAILSYNC_FAILPOINT"] = failpoint
    service.start()
    with Stubs(service.address) as stubs:
        request = copy_request(stubs, request_id)
        with pytest.raises(grpc.RpcError):
            stubs.envelopes.CopyEnvelopes(request, timeout=60)
    service.kill()
    del service.environment["MAILSYNC_FAILPOINT"]
    service.start()
    with Stubs(service.address) as stubs:
        response = answered(stubs, request)
    assert [one.source_uid for one in response.succeeded] == [2, 3, 4]
    assert sorted(mailbox.flags_by_uid("Sent")) == [1, 2, 3]


def test_a_caller_gets_its_answer_although_the_worker_dies_meanwhile(
    service: Service, mailbox: Mailbox
) -> None:
    """The worker that dies with its command on its way is started again, and finds what was done."""
    service.stop()
    service.environment["MAILSYNC_FAILPOINT"] = "change_answered"
    service.start()
    with Stubs(service.address) as stubs:
        response = stubs.envelopes.CopyEnvelopes(copy_request(stubs, ""), timeout=90)
    assert [one.destination_uid for one in response.succeeded] == [1, 2, 3]
    assert sorted(mailbox.flags_by_uid("Sent")) == [1, 2, 3]
    assert "worker failed" in service.log()


def test_a_message_left_in_the_spool_by_a_crash_is_removed_after_the_next_start(service: Service) -> None:
    service.kill()
    left = service.data / "data" / "spool" / "0123456789abcdef"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"sealed")
    service.start()
    wait_for(lambda: not left.exists() or None, 30, "the cleaning of the spool")
    with contextlib.suppress(grpc.RpcError):
        service.stop()
