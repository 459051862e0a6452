import pytest

from mailsync_grpc.errors import ImapAuthError, ImapThrottledError, ImapUnreachableError
from mailsync_grpc.imap.announcements import Announced, announced
from mailsync_grpc.imap.refusal import farewell, refusal


@pytest.mark.parametrize(
    "text",
    [
        *(
            "[UNAVAILABLE] later",
            "[LIMIT] connections",
            "[INUSE] locked",
            "[ALERT] Too many simultaneous connections.",
        ),
        *("[OVERQUOTA] Account exceeded command or bandwidth limits.", "Temporary authentication failure"),
    ],
)
def test_login_throttled_is_told_from_wrong_credentials(text: str) -> None:
    assert isinstance(refusal(text), ImapThrottledError)
    assert isinstance(farewell("* BYE " + text), ImapThrottledError)


@pytest.mark.parametrize(
    "text",
    [
        "[AUTHENTICATIONFAILED] Too many wrong letters",
        "LOGIN failed.",
        "[EXPIRED] password",
        "[ALERT] Log in by web",
    ],
)
def test_wrong_credentials_are_told_from_throttling(text: str) -> None:
    assert isinstance(refusal(text), ImapAuthError)


def test_a_bye_and_a_bare_close_are_unreachable() -> None:
    assert str(farewell("* BYE shutting down")) == "the server closed the connection: shutting down"
    assert isinstance(farewell(""), ImapUnreachableError)


def test_a_server_that_echoes_the_password_does_not_get_it_into_a_message() -> None:
    message = str(refusal("bad password canary-secret\nsecond line\x00" + "x" * 1_000, "canary-secret"))
    assert message == "the server refused the login: bad password [hidden]"


PADDING = b"* OK " + b"x" * 20_000 + b"\r\n"


@pytest.mark.parametrize("padding", [b"", PADDING])
@pytest.mark.parametrize(
    ("answer", "news"),
    [
        (b"", Announced(5, changed=False, bye="")),
        (b"* 1 FETCH (UID 4 FLAGS ())\r\n", Announced(5, changed=False, bye="")),
        (b"* 7 EXISTS\r\n", Announced(7, changed=False, bye="")),
        (b"* 7 EXISTS\r\n* 2 EXPUNGE\r\n", Announced(6, changed=True, bye="")),
        (b"* VANISHED 4:5,9\r\n", Announced(2, changed=True, bye="")),
        (b"* VANISHED (EARLIER) 4:5\r\n", Announced(5, changed=False, bye="")),
        (b"* 3 FETCH (FLAGS (\\Seen))\r\n", Announced(5, changed=True, bye="")),
        (b"* 3 FETCH (FLAGS (\\Seen) UID 3)\r\n", Announced(5, changed=False, bye="")),
        (b"* 3 FETCH (MODSEQ (5) FLAGS ())\r\n", Announced(5, changed=True, bye="")),
        (b"* BYE gone\r\n", Announced(5, changed=False, bye="* BYE gone")),
        (
            b"* 1 FETCH (UID 4 BODY[] {24}\r\n\r\n* 9 EXISTS\r\n* BYE no\r\n)\r\n",
            Announced(5, changed=False, bye=""),
        ),
    ],
)
def test_announcements_are_noticed_in_every_answer_and_not_in_literals(
    answer: bytes, news: Announced, padding: bytes
) -> None:
    assert announced(padding + answer, 5) == news


def test_news_is_noticed_around_a_large_text_and_not_in_it() -> None:
    text = b"\r\n* BYE no\r\n" + b"x" * 20_000
    answer = b"* 1 FETCH (UID 4 BODY[]<0> {%d}\r\n%b)\r\n" % (len(text), text)
    assert announced(answer, 5) == Announced(5, changed=False, bye="")
    assert announced(answer + b"* 6 EXISTS\r\n", 5) == Announced(6, changed=False, bye="")
    assert announced(b"* 6 EXISTS\r\n" + answer + answer, 5) == Announced(6, changed=False, bye="")
