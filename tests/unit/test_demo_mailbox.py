"""The demo mailbox is reproducible, readable by an independent parser, and has what real mailboxes have."""

from collections import Counter
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.cli.demo.mailbox import NEWEST, deliveries, demo_folders, messages
from mailsync_grpc.cli.demo.mime import encoded_words, mailbox, multipart, parameter, part, text_part
from mailsync_grpc.cli.demo.texts import COMMON_PEOPLE, ODD_PEOPLE, TONGUES


def _parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_the_same_seed_gives_the_same_messages() -> None:
    assert list(messages(200, seed=7)) == list(messages(200, seed=7))
    assert set(messages(200, seed=7)).isdisjoint(messages(200, seed=8))


def test_messages_end_their_lines_with_crlf_and_keep_them_under_the_limit() -> None:
    for raw in messages(1000):
        rest = raw.replace(b"\r\n", b"")
        assert b"\r" not in rest
        assert b"\n" not in rest
        # RFC 5322, 2.1.1
        assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_deliveries_are_in_the_order_of_their_dates_and_end_at_the_newest() -> None:
    dates = [delivery.internal_date for delivery in deliveries(50)]
    assert all(earlier < later for earlier, later in pairwise(date for date in dates if date))
    assert dates[-1] == NEWEST


def test_every_form_of_mail_occurs() -> None:
    raws = list(messages(2000))
    types = Counter(_parsed(raw).get_content_type() for raw in raws)
    assert types.keys() == {
        "text/plain",
        "text/html",
        "multipart/alternative",
        "multipart/mixed",
        "multipart/related",
        "multipart/report",
    }
    for needle in (
        b"=?iso-8859-1?Q?",
        b"=?iso-2022-jp?B?",
        b"=?windows-1251?B?",
        b"=?utf-8?B?",
        b"filename*0*=",
        b"filename*=utf-8''",
        b"message/delivery-status",
        b"message/feedback-report",
        b"Auto-Submitted: auto-replied",
        b"undisclosed-recipients:;",
        b"31 Dec 9999",
    ):
        assert any(needle in raw for raw in raws), needle


def test_no_message_is_broken_in_its_body() -> None:
    for raw in messages(1000):
        assert not [defect for entity in _parsed(raw).walk() for defect in entity.defects]


def test_the_demo_mailbox_has_a_few_hundred_messages_in_a_tree_parents_first() -> None:
    folders = demo_folders()
    names = [folder.name for folder in folders]
    assert 300 <= sum(len(folder.deliveries) for folder in folders) <= 500
    assert {"INBOX", "Sent", "Archive/2025", "Projects/Ärger & Söhne"} <= set(names)
    for number, name in enumerate(names):
        parent = name.rpartition("/")[0]
        assert not parent or parent in names[:number]


def test_what_the_owner_sent_is_from_the_owner() -> None:
    (sent,) = (folder for folder in demo_folders() if folder.name == "Sent")
    assert {_parsed(delivery.raw)["From"].addresses[0].addr_spec for delivery in sent.deliveries} == {
        "dana@demo.example"
    }


@pytest.mark.parametrize("person", [*ODD_PEOPLE, *COMMON_PEOPLE[:3]], ids=lambda person: person[1])
def test_every_correspondent_is_read_back(person: tuple[str, str]) -> None:
    raw = b"From: %b\r\n\r\n" % mailbox(*person)
    (address,) = _parsed(raw)["From"].addresses
    assert (address.display_name, address.addr_spec) == person


@pytest.mark.parametrize(("encoding", "charset"), [("B", "utf-8"), ("Q", "utf-8"), ("B", "iso-2022-jp")])
def test_every_subject_is_read_back_from_its_encoded_words(encoding: str, charset: str) -> None:
    for tongue in TONGUES:
        for subject in tongue.subjects:
            if _fits(subject, charset):
                words = encoded_words(subject, charset, encoding)
                assert _parsed(b"Subject: %b\r\n\r\n" % words)["Subject"] == subject
                assert all(len(line.strip()) <= 75 for line in words.split(b"\r\n") if b"=?" in line)


@given(
    st.text(st.characters(codec="utf-8", categories=("L", "N", "Zs")), min_size=1, max_size=120).map(
        str.strip
    )
)
def test_a_file_name_survives_every_style_of_parameter(name: str) -> None:
    for style in ("rfc2231", "continued"):
        raw = part(
            b"application/pdf",
            b"",
            b"base64",
            b"Content-Disposition: attachment" + parameter("filename", name, style),
        )
        assert _parsed(raw).get_filename("") == name


def test_text_and_multiparts_are_read_back() -> None:
    texts = [
        text_part("Grüße\r\n", "iso-8859-1"),
        text_part("Привет\r\n", "koi8-r"),
        text_part("Hi\r\n", "us-ascii"),
    ]
    parsed = _parsed(b"MIME-Version: 1.0\r\n" + multipart("mixed", b"x-y", texts))
    assert [entity.get_content().strip() for entity in parsed.iter_parts()] == ["Grüße", "Привет", "Hi"]


def _fits(text: str, charset: str) -> bool:
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return False
    return True
