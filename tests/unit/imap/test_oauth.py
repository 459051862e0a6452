"""OAuth 2 messages: what is sent is what the RFCs ask for, what comes back is a token or an error of the tree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.errors import (
    EndpointForbiddenError,
    ImapAuthError,
    ImapError,
    ImapUnreachableError,
    UnsafeArgumentError,
)
from mailsync_grpc.imap import oauth
from mailsync_grpc.imap.auth import AccessToken, check_credentials
from mailsync_grpc.imap.endpoint import Policy
from mailsync_grpc.imap.oauth import Grant, Granted
from mailsync_grpc.imap.refusal import farewell
from mailsync_grpc.imap.token_endpoint import renew


def test_first_responses_are_those_of_the_documents() -> None:
    """RFC 7628 section 4.1 and Google's description of XOAUTH2."""
    shown = oauth.first_response(
        "OAUTHBEARER", "user@example.com", "server.example.com", 143, "vF9dft4qmTc2Nvb3RlckBhb=="
    )
    assert shown == (
        b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhb==\x01\x01"
    )
    shown = oauth.first_response("XOAUTH2", "someuser@example.com", "any", 1, "ya29.x")
    assert shown == b"user=someuser@example.com\x01auth=Bearer ya29.x\x01\x01"


def test_a_user_name_cannot_end_its_field() -> None:
    shown = oauth.first_response("OAUTHBEARER", "a,b=c", "h", 1, "t")
    assert shown.startswith(b"n,a=a=2Cb=3Dc,\x01")


@pytest.mark.parametrize(
    "credentials",
    [
        AccessToken("ann\x01auth=Bearer other", "token"),
        AccessToken("ann\r\n", "token"),
        AccessToken("ann", "to ken"),
        AccessToken("ann", "to\x01ken"),
        AccessToken("ann", "tökén"),
        AccessToken("ann", ""),
    ],
)
def test_what_would_end_a_field_is_refused_before_the_socket(credentials: AccessToken) -> None:
    with pytest.raises(UnsafeArgumentError):
        check_credentials(credentials)


def test_secrets_show_in_no_representation() -> None:
    assert "hunter2" not in repr(AccessToken("ann", "hunter2"))
    assert "hunter2" not in repr(Grant("https://e", "c", "hunter2"))


def test_an_answer_grants_a_token_for_its_life_and_the_next_refresh_token() -> None:
    answer = b'{"access_token": "a", "expires_in": 600, "refresh_token": "r", "token_type": "Bearer"}'
    assert oauth.granted(200, answer) == Granted("a", 600.0, "r")
    assert oauth.granted(200, b'{"access_token": "a"}') == Granted("a", oauth.DEFAULT_LIFETIME)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"error": "invalid_grant"}', ImapAuthError),
        (401, b"<html>", ImapAuthError),
        (429, b"{}", ImapUnreachableError),
        (503, b"", ImapUnreachableError),
        (302, b"", ImapUnreachableError),
        (200, b"[]", ImapUnreachableError),
        (200, b'{"access_token": 7}', ImapUnreachableError),
        (200, b'{"access_token": "a\\r\\nb"}', ImapUnreachableError),
    ],
)
def test_who_is_to_blame_is_told_apart(status: int, body: bytes, error: type[ImapError]) -> None:
    with pytest.raises(error):
        oauth.granted(status, body)


@given(st.integers(100, 599), st.binary())
def test_no_answer_raises_anything_else(status: int, body: bytes) -> None:
    try:
        assert oauth.granted(status, body)
    except ImapError as error:
        str(error).encode("utf-8")


@pytest.mark.parametrize(
    "url", ["ftp://e/t", "https://", "https://user:pw@e/t", "/token", "https://e:x/", "https://e/\r\nX: y"]
)
def test_an_endpoint_is_an_https_url(url: str) -> None:
    with pytest.raises(EndpointForbiddenError, match="https URL"):
        renew(Grant(url, "c"), "r", Policy())


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1/", "https://[::1]:8443/t", "https://169.254.169.254/latest", "http://127.0.0.1/"],
)
def test_an_endpoint_is_held_against_the_operators_networks(url: str) -> None:
    with pytest.raises(EndpointForbiddenError):
        renew(Grant(url, "c"), "r", Policy())


@pytest.mark.parametrize(
    "text", ["[EXPIRED] bye", "Session expired, please login again.", "Access token has expired"]
)
def test_a_session_that_expired_is_told_from_other_ends(text: str) -> None:
    assert type(farewell(f"* BYE {text}")).__name__ == "ImapExpiredError"
    assert type(farewell("* BYE Autologout")).__name__ == "ImapUnreachableError"
