"""The list of the command line goes on over pages on which nothing passes, until it has what was asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from mailsync_grpc.cli.envelope import list_envelopes
from mailsync_grpc.v1.envelope_pb2 import ENVELOPE_VIEW_BASIC, Envelope
from mailsync_grpc.v1.envelope_service_pb2 import EnvelopeFilter, ListEnvelopesRequest, ListEnvelopesResponse


@dataclass(slots=True)
class Pages:
    """A session whose service answers with these UIDs, page by page."""

    uids: Sequence[Sequence[int]]
    asked: list[ListEnvelopesRequest] = field(default_factory=list)
    envelopes: Any = field(default_factory=lambda: SimpleNamespace(ListEnvelopes=None))

    def call(self, _method: Callable[..., Any], request: ListEnvelopesRequest) -> ListEnvelopesResponse:
        kept = ListEnvelopesRequest()
        kept.CopyFrom(request)
        self.asked.append(kept)
        page = int(request.page_token or 0)
        return ListEnvelopesResponse(
            envelopes=[Envelope(uid=uid) for uid in self.uids[page]],
            next_page_token=str(page + 1) if page + 1 < len(self.uids) else "",
            scan_incomplete=len(self.uids[page]) < request.page_size,
        )


@pytest.mark.parametrize(
    ("limit", "found", "calls"),
    [(2, [9, 7], 3), (1, [9], 1), (3, [9, 7, 6], 5), (20, [9, 7, 6], 6)],
)
def test_a_list_ends_when_it_is_full_or_the_folder_ends(limit: int, found: list[int], calls: int) -> None:
    pages = Pages([[9], [], [7], [], [6], []])
    which = EnvelopeFilter(text="x")
    session: Any = pages
    listed = list_envelopes(session, "accounts/a/folders/b", limit, ENVELOPE_VIEW_BASIC, which)
    assert [each.uid for each in listed] == found
    assert len(pages.asked) == calls
    assert all((each.filter, each.page_size) == (which, limit) for each in pages.asked)
