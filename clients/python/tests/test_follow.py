"""The runner against a small service of our own: what it lists, what it asks the watch for, what it does when either fails."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from mailsync_client import Break, Client, Mirror, follow
from mailsync_client.v1.envelope_pb2 import Envelope
from mailsync_client.v1.envelope_service_pb2 import ListEnvelopesRequest, ListEnvelopesResponse
from mailsync_client.v1.errors_pb2 import ERROR_REASON_REVISION_COMPACTED
from mailsync_client.v1.event_service_pb2 import (
    AccountVisible,
    Heartbeat,
    Reset,
    SnapshotChunk,
    SnapshotEnd,
    WatchEventsRequest,
    WatchEventsResponse,
)
from mailsync_client.v1.folder_pb2 import Folder
from mailsync_client.v1.folder_service_pb2 import ListFoldersRequest, ListFoldersResponse
from written_mailbox import ACCOUNT, INBOX, message, uids

Refusal = tuple[grpc.StatusCode, str]


class Service:
    """Lists one folder, a message a page, and hands out watches in order; `refusals` are of list calls to come."""

    def __init__(self) -> None:
        self.messages = [message(1), message(2)]
        self.refusals: list[Refusal | None] = []
        self.watches: list[list[WatchEventsResponse] | Refusal] = []
        self.asked: list[WatchEventsRequest] = []
        self.lists = 0

    def list_folders(
        self, _request: ListFoldersRequest, _context: grpc.ServicerContext
    ) -> ListFoldersResponse:
        self.lists += 1
        return ListFoldersResponse(folders=[Folder(name=INBOX)], resume_token=f"list {self.lists}")

    def list_envelopes(
        self, request: ListEnvelopesRequest, context: grpc.ServicerContext
    ) -> ListEnvelopesResponse:
        if self.refusals and (refusal := self.refusals.pop(0)):
            refuse(context, refusal)
        at = int(request.page_token or 0)
        rest = at + 1 < len(self.messages)
        return ListEnvelopesResponse(
            envelopes=self.messages[at : at + 1],
            read_revision=10,
            next_page_token=str(at + 1) if rest else "",
        )

    def watch_events(
        self, request: WatchEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[WatchEventsResponse]:
        self.asked.append(request)
        script = self.watches.pop(0)
        if isinstance(script, tuple):
            refuse(context, script)
        else:
            yield from script

    def handlers(self) -> Iterator[grpc.GenericRpcHandler]:
        methods = {
            "FolderService": ("ListFolders", _unary(self.list_folders, ListFoldersRequest)),
            "EnvelopeService": ("ListEnvelopes", _unary(self.list_envelopes, ListEnvelopesRequest)),
            "EventService": (
                "WatchEvents",
                grpc.unary_stream_rpc_method_handler(
                    self.watch_events, WatchEventsRequest.FromString, WatchEventsResponse.SerializeToString
                ),
            ),
        }
        for name, (method, handler) in methods.items():
            yield grpc.method_handlers_generic_handler(f"mailsync.v1.{name}", {method: handler})


def _unary(answer: Callable[..., Message], request: type[Message]) -> "grpc.RpcMethodHandler[Any, Any]":
    return grpc.unary_unary_rpc_method_handler(
        answer, request.FromString, lambda made: made.SerializeToString()
    )


def refuse(context: grpc.ServicerContext, refusal: Refusal) -> None:
    code, reason = refusal
    status = status_pb2.Status(code=code.value[0], message="as written")
    status.details.add().Pack(error_details_pb2.ErrorInfo(domain="mailsync", reason=reason))
    context.abort_with_status(rpc_status.to_status(status))


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(tuple(service.handlers()))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client.connect(f"127.0.0.1:{port}") as client:
        yield client
    server.stop(None).wait()


def said(through: int, token: str) -> WatchEventsResponse:
    return WatchEventsResponse(
        from_revision=through, through_revision=through, resume_token=token, heartbeat=Heartbeat()
    )


def chunk(*envelopes: Envelope) -> WatchEventsResponse:
    response = said(10, "in the snapshot")
    response.snapshot_chunk.CopyFrom(SnapshotChunk(read_revision=10, envelopes=envelopes))
    return response


def end() -> WatchEventsResponse:
    response = said(10, "after the snapshot")
    response.snapshot_end.CopyFrom(SnapshotEnd())
    return response


def step(
    client: Client,
    mirror: Mirror,
    responses: int,
    *,
    snapshot: bool = False,
    on_break: Callable[[Break], object] = lambda _: None,
) -> None:
    with closing(follow(client, mirror, snapshot=snapshot, label="test", on_break=on_break)) as following:
        assert len(list(islice(following, responses))) == responses


def test_an_account_is_listed_then_watched_from_the_token_of_the_first_page(
    client: Client, service: Service
) -> None:
    service.watches = [[said(10, "live")]]
    mirror = Mirror(ACCOUNT)
    step(client, mirror, 1)
    assert uids(mirror) == {1, 2}
    assert mirror.caught_up
    asked = service.asked[0]
    assert (asked.resume_token, asked.reset_on_compacted, asked.label) == ("list 1", False, "test")


def test_a_list_that_is_cut_short_leaves_no_token_to_go_on_from(client: Client, service: Service) -> None:
    service.refusals = [None, (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED")]
    service.watches = [[said(10, "live")]]
    mirror = Mirror(ACCOUNT)
    with pytest.raises(grpc.RpcError):
        step(client, mirror, 1)
    assert mirror.token == ""
    # The same mirror, followed again, is listed again.
    step(client, mirror, 1)
    assert uids(mirror) == {1, 2}
    assert service.asked[0].resume_token == "list 2"


def test_a_lost_position_is_told_and_everything_listed_anew(client: Client, service: Service) -> None:
    service.watches = [
        [said(10, "live")],
        (grpc.StatusCode.OUT_OF_RANGE, "REVISION_COMPACTED"),
        [said(20, "new")],
    ]
    mirror, breaks = Mirror(ACCOUNT), list[Break]()
    step(client, mirror, 1)
    service.messages = [message(3)]
    step(client, mirror, 1, on_break=breaks.append)
    assert breaks[0].cause.startswith("REVISION_COMPACTED")
    assert uids(mirror) == {3}
    assert [request.resume_token for request in service.asked] == ["list 1", "live", "list 2"]


def test_a_page_token_that_holds_no_more_begins_the_list_again(client: Client, service: Service) -> None:
    service.refusals = [None, (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")]
    service.watches = [[said(10, "live")]]
    mirror = Mirror(ACCOUNT)
    step(client, mirror, 1)
    assert service.asked[0].resume_token == "list 2"
    assert uids(mirror) == {1, 2}


@pytest.mark.parametrize(
    "refusal",
    [
        (grpc.StatusCode.NOT_FOUND, "FOLDER_NOT_FOUND"),
        (grpc.StatusCode.FAILED_PRECONDITION, "UID_VALIDITY_CHANGED"),
    ],
)
def test_what_is_gone_before_it_is_read_is_no_error(
    client: Client, service: Service, refusal: Refusal
) -> None:
    service.refusals = [refusal]
    service.watches = [[said(10, "live")]]
    mirror = Mirror(ACCOUNT)
    step(client, mirror, 1)
    assert uids(mirror) == set()


def test_what_cannot_be_read_for_another_reason_is_an_error_and_not_left_out(
    client: Client, service: Service
) -> None:
    service.refusals = [(grpc.StatusCode.FAILED_PRECONDITION, "ACCOUNT_PAUSED")]
    with pytest.raises(grpc.RpcError):
        step(client, Mirror(ACCOUNT), 1)


def test_a_snapshot_needs_no_list(client: Client, service: Service) -> None:
    service.watches = [[chunk(message(1)), chunk(message(2)), end()]]
    mirror = Mirror(ACCOUNT)
    step(client, mirror, 2, snapshot=True)
    assert not mirror.caught_up
    service.watches = [[end()]]
    step(client, mirror, 1, snapshot=True)
    assert not mirror.partial
    assert uids(mirror) == {1, 2}
    assert service.lists == 0
    assert service.asked[0].HasField("snapshot")
    assert service.asked[0].reset_on_compacted
    assert service.asked[1].resume_token == "in the snapshot"


def test_a_reset_is_told_and_gone_on_from_in_the_same_stream(client: Client, service: Service) -> None:
    reset = said(10, "anew")
    reset.reset.CopyFrom(Reset(reason=ERROR_REASON_REVISION_COMPACTED))
    service.watches = [[reset, chunk(message(3)), end()]]
    mirror, breaks = Mirror(ACCOUNT, "old", {0: 5}), list[Break]()
    mirror.put([message(1)], 4)
    step(client, mirror, 3, snapshot=True, on_break=breaks.append)
    assert [each.cause for each in breaks] == ["REVISION_COMPACTED: a snapshot follows"]
    assert uids(mirror) == {3}


def test_a_gap_in_snapshot_mode_begins_a_new_snapshot(client: Client, service: Service) -> None:
    gap = said(12, "beyond a gap")
    service.watches = [[chunk(message(1)), gap], [chunk(message(2)), end()]]
    mirror, breaks = Mirror(ACCOUNT), list[Break]()
    step(client, mirror, 3, snapshot=True, on_break=breaks.append)
    assert breaks[0].cause.startswith("COVERAGE_GAP")
    assert uids(mirror) == {2}
    assert service.asked[1].HasField("snapshot")


def test_an_account_that_comes_into_sight_is_listed(client: Client, service: Service) -> None:
    shown = said(10, "seen")
    shown.account_visible.CopyFrom(AccountVisible(account=ACCOUNT))
    service.watches = [[end(), shown]]
    mirror = Mirror(ACCOUNT)
    step(client, mirror, 2, snapshot=True)
    assert uids(mirror) == {1, 2}
