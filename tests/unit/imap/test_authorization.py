"""The browser's part of OAuth 2: what goes out with the user, and what an issuer's metadata is taken for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.config import KNOWN_PROVIDERS, OAuthProvider
from mailsync_grpc.errors import ImapError
from mailsync_grpc.imap.authorization import (
    Endpoints,
    authorization_url,
    challenge,
    discovered,
    metadata_urls,
)
from mailsync_grpc.imap.oauth import Grant
from mailsync_grpc.imap.providers import provider_of, registered

CLIENT = OAuthProvider(client_id="client")


def test_the_challenge_is_that_of_the_document() -> None:
    """RFC 7636, appendix B."""
    assert (
        challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
        == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


def test_what_the_endpoint_asks_for_itself_stays() -> None:
    url = authorization_url("https://e/a?tenant=1&x=", {"state": "s t", "login_hint": ""})
    assert url == "https://e/a?tenant=1&state=s+t"


@pytest.mark.parametrize("issuer", ["https://i.example/t", "https://i.example/t/"])
def test_metadata_is_where_both_documents_have_it(issuer: str) -> None:
    """OpenID Connect Discovery section 4, RFC 8414 section 3.1."""
    assert metadata_urls(issuer) == (
        "https://i.example/t/.well-known/openid-configuration",
        "https://i.example/.well-known/oauth-authorization-server/t",
    )


def test_metadata_names_the_endpoints() -> None:
    metadata = {
        "issuer": "https://i",
        "authorization_endpoint": "https://i/a",
        "token_endpoint": "https://i/t",
    }
    assert discovered("https://i", json.dumps(metadata).encode()) == Endpoints("https://i/a", "https://i/t")
    with pytest.raises(ImapError, match="not that issuer's"):
        discovered("https://j", json.dumps(metadata).encode())


@given(st.binary())
def test_no_metadata_raises_anything_else(body: bytes) -> None:
    with pytest.raises(ImapError):
        discovered("https://i", body)


@pytest.mark.parametrize("name", KNOWN_PROVIDERS)
def test_a_known_provider_needs_no_more_than_a_client(name: str) -> None:
    known = provider_of(name, CLIENT)
    assert known.authorization_endpoint.startswith("https://")
    assert known.token_endpoint.startswith("https://")
    assert known.scopes


def test_configuration_says_what_is_different_of_a_known_provider() -> None:
    tenant = CLIENT.model_copy(
        update={"issuer": "https://i", "scopes": ("s",), "parameters": {"prompt": "login"}}
    )
    changed = provider_of("google", tenant)
    assert (changed.authorization_endpoint, changed.token_endpoint, changed.issuer) == ("", "", "https://i")
    assert (changed.scopes, changed.parameters) == (("s",), {"access_type": "offline", "prompt": "login"})


def test_a_provider_without_a_secret_is_asked_without_one() -> None:
    assert registered(Grant("https://t", ""), CLIENT) == Grant("https://t", "client")
