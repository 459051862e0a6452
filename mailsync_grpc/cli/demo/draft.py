"""Who writes what to whom, when and in which thread: a message before it has a form, and its RFC 5322 header."""

import random
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache

from mailsync_grpc.cli.demo.mime import encoded_words, mailbox
from mailsync_grpc.cli.demo.texts import Tongue

Person = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Draft:
    """One message to be; ``rng`` is what its form may still draw from, ``charset`` can encode all of ``tongue``."""

    rng: random.Random
    date: datetime
    sender: Person
    to: tuple[Person, ...]
    cc: tuple[Person, ...]
    message_id: bytes
    references: tuple[bytes, ...]
    tongue: Tongue
    charset: str
    subject: str

    def text(self) -> str:
        """A few sentences in paragraphs, lines ending with CRLF."""
        sentences = self.rng.choices(self.tongue.sentences, k=self.rng.randint(2, 6))
        middle = len(sentences) // 2
        paragraphs = (" ".join(sentences[:middle]), " ".join(sentences[middle:]), self.sender[0])
        return "\r\n\r\n".join(paragraphs) + "\r\n"

    def boundary(self) -> bytes:
        """A boundary that no other part of this mailbox uses."""
        return b"----=_Part_%016x" % self.rng.getrandbits(64)


def header(draft: Draft) -> dict[bytes, bytes]:
    """The header's fields in their order; values encoded and folded."""
    encoding = "Q" if draft.charset.startswith("iso-8859") else "B"
    fields = {
        b"Received": b"from mx.example (mx.example [192.0.2.%d])\r\n\tby mail.demo.example with ESMTPS id %08X;\r\n\t%b"
        % (draft.rng.randrange(1, 255), draft.rng.getrandbits(32), _date(draft)),
        b"From": _person(draft.sender, draft.charset, encoding),
        b"To": _people(draft.to),
        b"Cc": _people(draft.cc),
        b"Subject": encoded_words(draft.subject, draft.charset, encoding),
        b"Date": _date(draft),
        b"Message-ID": draft.message_id,
    }
    if draft.references:
        fields[b"In-Reply-To"] = draft.references[-1]
        fields[b"References"] = b"\r\n ".join(draft.references)
    return {name: value for name, value in fields.items() if value}


def assemble(fields: dict[bytes, bytes], content: bytes) -> bytes:
    """The whole message: the header's fields, then a MIME part as ``mime.part`` or ``mime.multipart`` makes it."""
    lines = b"".join([b"%b: %b\r\n" % item for item in fields.items()])
    return b"%bMIME-Version: 1.0\r\n%b" % (lines, content)


@lru_cache(maxsize=256)
def charset_for(tongue: Tongue, wish: int) -> str:
    """The charset at index ``wish`` of the language if all its subjects and sentences fit, else UTF-8."""
    charset = tongue.charsets[wish]
    try:
        "".join((*tongue.subjects, *tongue.sentences)).encode(charset)
    except UnicodeEncodeError:
        return "utf-8"
    return charset


def _date(draft: Draft) -> bytes:
    return format_datetime(draft.date).encode("ascii")


def _people(people: tuple[Person, ...]) -> bytes:
    return b",\r\n ".join([_person(person, "utf-8", "B") for person in people])


@lru_cache(maxsize=1024)
def _person(person: Person, charset: str, encoding: str) -> bytes:
    name, address = person
    try:
        name.encode(charset)
    except UnicodeEncodeError:
        return mailbox(name, address)
    return mailbox(name, address, charset, encoding)
