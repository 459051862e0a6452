"""SystemService, access tokens: made, listed, revoked. A secret is answered once, to the call that made it, and nowhere kept."""

from dataclasses import dataclass

from mailsync_grpc.errors import InvalidFieldError, TokenNotFoundError
from mailsync_grpc.model.access import AccessToken
from mailsync_grpc.model.ids import parse_token
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.paging import PageTokens, page_size
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.requests import Decision, Mutations
from mailsync_grpc.services.token_fields import make_token, token_message
from mailsync_grpc.store.base import TokenEdit
from mailsync_grpc.v1 import system_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class AccessTokenService:
    """Serves the access tokens' part of `mailsync.v1.SystemService`."""

    core: Core
    mutations: Mutations
    page_tokens: PageTokens

    async def create_token(self, request: pb.CreateTokenRequest, _context: Context) -> pb.CreateTokenResponse:
        """Make a token; a repeat of the call is answered without the secret."""

        def decide() -> Decision[pb.CreateTokenResponse]:
            token, secret = make_token(request.token, self.core.account, self.core.now_ms())
            message = token_message(token)
            return Decision(
                TokenEdit(put=(token,)),
                pb.CreateTokenResponse(token=message, secret=secret),
                recorded=pb.CreateTokenResponse(token=message),
            )

        response = await self.mutations.once(request, pb.CreateTokenResponse, lambda: self.core.run(decide))
        await self.core.run(self.core.callers.look)
        return response

    async def list_tokens(self, request: pb.ListTokensRequest, _context: Context) -> pb.ListTokensResponse:
        """Return a page of tokens, in order of name."""
        return await self.core.run(self._list, request)

    def _list(self, request: pb.ListTokensRequest) -> pb.ListTokensResponse:
        size = page_size(request.page_size)
        after = (self.page_tokens.open(request, request.page_token) or b"").decode()
        revision = self.core.head()
        rest = [token for token in self.core.store.access.table().tokens if token.id > after]
        response = pb.ListTokensResponse(
            tokens=[token_message(token) for token in rest[:size]], read_revision=revision
        )
        if len(rest) > size:
            response.next_page_token = self.page_tokens.seal(request, rest[size - 1].id.encode())
        return response

    async def revoke_token(self, request: pb.RevokeTokenRequest, _context: Context) -> pb.RevokeTokenResponse:
        """Revoke a token: its calls are refused from now on."""

        def decide() -> Decision[pb.RevokeTokenResponse]:
            token = find_token(self.core.store.access.table().tokens, request.name)
            return Decision(TokenEdit(drop=(token.id,)), pb.RevokeTokenResponse())

        response = await self.mutations.once(request, pb.RevokeTokenResponse, lambda: self.core.run(decide))
        await self.core.run(self.core.callers.look)
        return response


def find_token(tokens: tuple[AccessToken, ...], name: str) -> AccessToken:
    """Return the token of this name. Raises InvalidFieldError, TokenNotFoundError."""
    token_id = parse_token(name)
    if token_id is None:
        raise InvalidFieldError({"name": "expected tokens/{token}"})
    found = next((token for token in tokens if token.id == token_id), None)
    if found is None:
        raise TokenNotFoundError(name)
    return found
