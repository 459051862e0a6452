from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.imap.folder_names import decode_name, encode_name, special_use_of

PRINTABLE = st.characters(exclude_categories=["Cc", "Cs", "Cf", "Zl", "Zp", "Cn", "Co"])


@given(st.text(PRINTABLE))
def test_every_name_survives_the_way_to_the_wire_and_back(name: str) -> None:
    raw = encode_name(name)
    assert raw.isascii()
    assert decode_name(raw) == name


def test_the_example_of_the_rfc_is_read() -> None:
    assert decode_name(b"~peter/mail/&U,BTFw-/&ZeVnLIqe-") == "~peter/mail/台北/日本語"
    assert decode_name(b"Entw&APw-rfe & Co") == "Entw&APw-rfe & Co"
    assert decode_name(b"Entw&APw-rfe &- Co") == "Entwürfe & Co"


@pytest.mark.parametrize(
    "raw", [b"a&b", b"&", b"a&Jjo", b"&AGE-", b"&ABCD", b"&!!!-", b"&2AA-", b"&AGE-&AGI-"]
)
def test_bad_mutf7_is_shown_as_it_stands(raw: bytes) -> None:
    assert decode_name(raw) == raw.decode()


def test_raw_utf8_name_is_shown_as_meant() -> None:
    assert decode_name("Éléments envoyés".encode()) == "Éléments envoyés"


def test_invalid_utf8_in_a_name_is_text_afterwards() -> None:
    for raw in (b"\xff\xfe", b"a\x00b\r\n", b"caf\xe9", b"\xed\xa0\x80"):
        decode_name(raw).encode("utf-8")
        assert "\x00" not in decode_name(raw)


@pytest.mark.parametrize(
    "name",
    [
        *("Sent", "SENT ITEMS", "Sent Messages", "sent-mail", "Sent Mail", "SentItems"),
        *("Gesendet", "Gesendete Objekte", "Gesendete Elemente", "Envoyés", "Éléments envoyés", "Enviados"),
        *("Inviata", "Posta inviata", "Verzonden items", "Skickat", "Wysłane", "Odeslané", "Elküldött"),
        *("Отправленные", "Надіслані", "Απεσταλμένα", "Gönderilmiş Öğeler", "المرسل", "נשלחו"),
        *("已发送", "已发送邮件", "寄件備份", "送信済み", "送信済みトレイ", "보낸편지함"),
    ],
)
def test_special_use_knows_sent_in_many_languages(name: str) -> None:
    assert special_use_of(name) == "\\Sent"
    assert special_use_of(normalize("NFD", name)) == "\\Sent", "as macOS spells it"


@pytest.mark.parametrize(
    "name", ["", " ", "Inbox", "Outbox", "Presents", "Sent to Bob", "Envoi", "Исходящие"]
)
def test_special_use_takes_no_other_name_for_sent(name: str) -> None:
    assert special_use_of(name) == ""
