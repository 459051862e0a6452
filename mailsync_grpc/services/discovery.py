"""AccountService, DiscoverSettings: from an e-mail address to settings that may fit it. Nothing is kept."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from mailsync_grpc.discovery.address import parse_address
from mailsync_grpc.discovery.candidates import Candidate
from mailsync_grpc.discovery.finder import Find
from mailsync_grpc.services.registry import Context
from mailsync_grpc.v1 import account_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class DiscoveryService:
    """Serves DiscoverSettings of `mailsync.v1.AccountService`; `oauth` names the providers that are configured."""

    find: Find
    oauth: AbstractSet[str]

    async def discover_settings(
        self, request: pb.DiscoverSettingsRequest, _context: Context
    ) -> pb.DiscoverSettingsResponse:
        """Return what was found, best first. Raises InvalidFieldError."""
        found = await self.find(parse_address(request.email_address))
        return pb.DiscoverSettingsResponse(candidates=[self._message(candidate) for candidate in found])

    def _message(self, candidate: Candidate) -> pb.DiscoveredSettings:
        return pb.DiscoveredSettings(
            imap=account_pb2.ImapEndpoint(
                host=candidate.host,
                port=candidate.port,
                security=account_pb2.ImapSecurity.ValueType(candidate.security),
            ),
            username=candidate.username,
            auth_kinds=[account_pb2.AuthKind.ValueType(kind) for kind in candidate.kinds],
            provider=candidate.oauth if candidate.oauth in self.oauth else "",
            source=pb.DiscoverySource.ValueType(candidate.source),
        )
