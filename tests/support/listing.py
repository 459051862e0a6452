"""Whole lists and exports of an API, and the UIDs in them."""

from typing import Any

from mailsync_grpc.v1 import envelope_service_pb2 as pb
from tests.support.api import Api


async def pages(api: Api, parent: str, **request: Any) -> list[pb.ListEnvelopesResponse]:
    asked = pb.ListEnvelopesRequest(parent=parent, order=pb.ENVELOPE_ORDER_UID_ASC, **request)
    found: list[pb.ListEnvelopesResponse] = []
    while not found or asked.page_token:
        found.append(await api.envelopes.ListEnvelopes(asked))
        asked.page_token = found[-1].next_page_token
    return found


async def exported(api: Api, parent: str, **request: Any) -> list[pb.ExportEnvelopesResponse]:
    call = api.envelopes.ExportEnvelopes(pb.ExportEnvelopesRequest(parent=parent, **request))
    return [piece async for piece in call]


def uids(found: list[pb.ListEnvelopesResponse] | list[pb.ExportEnvelopesResponse]) -> list[int]:
    return [envelope.uid for page in found for envelope in page.envelopes]
