"""A compiled filter lets through what the contract's words say, for any envelope: the reference reads the whole message."""

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mailsync_grpc.errors import InvalidFieldError
from mailsync_grpc.model.envelope import Address, Attachment, Envelope, Partial, PartialReason
from mailsync_grpc.model.flags import SYSTEM_FLAGS, Flags
from mailsync_grpc.services.envelope_filter import wanted
from mailsync_grpc.store.codec import encode_envelope, encode_flags
from mailsync_grpc.store.values import EnvelopeRow
from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb

# Few letters, so that texts meet; among them those whose folding is longer, or shared with ASCII (the Kelvin sign).
LETTERS = "aAkK\N{KELVIN SIGN}sSß\N{LATIN SMALL LETTER LONG S}İ \x01*@<>"
SHORT = st.text(LETTERS, max_size=2)
LONG = st.text(LETTERS, max_size=6)
SYSTEM = ("seen", "answered", "flagged", "deleted", "draft")
KEYWORDS = st.sampled_from(("work", "WORK", "$Forwarded", "$forwarded", "seen"))
LABELS = st.sampled_from(("work", "Work", "\\Inbox"))
SECONDS = st.integers(-3, 3) | st.sampled_from((1 << 31, 1 << 36, -(1 << 35)))

people = st.lists(st.builds(Address, LONG, LONG), max_size=2).map(tuple)
attachments = st.builds(
    Attachment,
    st.just("2"), LONG, LONG, LONG, st.just(1), LONG, st.booleans(), LONG, LONG,
)  # fmt: skip
envelopes = st.builds(
    Envelope,
    internal_date=st.none() | SECONDS,
    # Sizes and lengths whose varints are the octets of has_attachment.
    size=st.sampled_from((0, 192, 24_769)),
    subject=LONG | st.just("\x01" * 192),
    from_=people,
    sender=people,
    reply_to=people,
    to=people,
    cc=people,
    bcc=people,
    message_id=LONG,
    thread_id=LONG,
    attachments=st.lists(attachments, max_size=2).map(tuple),
    partial=st.none() | st.builds(Partial, st.sampled_from(PartialReason), st.just("")),
)
flags = st.builds(
    Flags.of,
    st.lists(st.sampled_from(SYSTEM_FLAGS) | KEYWORDS, max_size=3),
    st.lists(LABELS, max_size=2),
)
asked_flags = st.builds(
    lambda system, keywords, labels: envelope_pb2.Flags(**system, keywords=keywords, labels=labels),
    st.dictionaries(st.sampled_from(SYSTEM), st.booleans(), max_size=2),
    st.lists(KEYWORDS, max_size=1),
    st.lists(LABELS, max_size=1),
)
times = st.builds(Timestamp, seconds=SECONDS, nanos=st.sampled_from((0, 1, 999_999_999)))


@st.composite
def filters(draw: st.DrawFn) -> pb.EnvelopeFilter:
    """A filter of one to three conditions."""
    values: dict[str, st.SearchStrategy[object]] = {
        "since": times,
        "before": times,
        "flags_set": asked_flags,
        "flags_unset": asked_flags,
        "from_contains": SHORT,
        "to_contains": SHORT,
        "subject_contains": SHORT,
        "has_attachment": st.booleans(),
        "thread_id": LONG,
        "message_id": LONG,
        "text": st.lists(SHORT, max_size=2).map(" ".join),
    }
    named = draw(st.lists(st.sampled_from(sorted(values)), min_size=1, max_size=3, unique=True))
    given_ = {name: draw(values[name]) for name in named}
    return pb.EnvelopeFilter(**given_)  # type: ignore[arg-type] # each of the field's own type


@dataclass(frozen=True, slots=True)
class Reference:
    """What the comments of the contract say, word by word, of a whole message."""

    envelope: envelope_pb2.Envelope

    def passes(self, asked: pb.EnvelopeFilter) -> bool:
        return all(getattr(self, field.name)(value) for field, value in asked.ListFields())

    def since(self, time: Timestamp) -> bool:
        return self.envelope.HasField("internal_date") and self._date() >= time.ToNanoseconds()

    def before(self, time: Timestamp) -> bool:
        return self.envelope.HasField("internal_date") and self._date() < time.ToNanoseconds()

    def flags_set(self, asked: envelope_pb2.Flags) -> bool:
        return marks(asked) <= marks(self.envelope.flags)

    def flags_unset(self, asked: envelope_pb2.Flags) -> bool:
        return not marks(asked) & marks(self.envelope.flags)

    def from_contains(self, text: str) -> bool:
        return holds(text, named(getattr(self.envelope, "from")))

    def to_contains(self, text: str) -> bool:
        return holds(text, named([*self.envelope.to, *self.envelope.cc, *self.envelope.bcc]))

    def subject_contains(self, text: str) -> bool:
        return holds(text, [self.envelope.subject])

    def has_attachment(self, asked: bool) -> bool:
        found = any(not each.inline for each in self.envelope.attachments)
        return found if asked else not found and not self.envelope.HasField("partial")

    def thread_id(self, thread: str) -> bool:
        return self.envelope.thread_id == thread

    def message_id(self, asked: str) -> bool:
        bare = asked.strip()
        bare = bare.removeprefix("<")
        bare = bare.removesuffix(">")
        return self.envelope.message_id.casefold() == bare.casefold()

    def text(self, words: str) -> bool:
        own = self.envelope
        lists = (getattr(own, "from"), own.sender, own.reply_to, own.to, own.cc, own.bcc)
        texts = [own.subject, *(text for each in lists for text in named(each))]
        return all(holds(word, texts) for word in words.split())

    def _date(self) -> int:
        return self.envelope.internal_date.seconds * 10**9


def marks(value: envelope_pb2.Flags) -> set[tuple[str, str]]:
    system = {("flag", f"\\{name}") for name in SYSTEM if getattr(value, name)}
    keywords = {("flag", keyword.casefold()) for keyword in value.keywords}
    return system | keywords | {("label", label) for label in value.labels}


def named(found: Iterable[envelope_pb2.Address]) -> list[str]:
    return [text for each in found for text in (each.display_name, each.address)]


def holds(part: str, texts: Iterable[str]) -> bool:
    return any(part.casefold() in text.casefold() for text in texts)


def row_of(envelope: Envelope, value: Flags) -> EnvelopeRow:
    return EnvelopeRow(1, bytes(10), encode_flags(value), *encode_envelope(envelope))


@given(filters(), envelopes, flags)
@example(pb.EnvelopeFilter(text="kss"), Envelope(subject="\N{KELVIN SIGN}ß"), Flags())
@example(pb.EnvelopeFilter(text="aa"), Envelope(subject="a", message_id="a"), Flags())
@example(pb.EnvelopeFilter(has_attachment=True), Envelope(subject="\x01" * 192), Flags())
@example(pb.EnvelopeFilter(thread_id="a"), Envelope(subject="*\x01a", thread_id="b"), Flags())
def test_a_filter_lets_through_what_the_contract_says(
    asked: pb.EnvelopeFilter, envelope: Envelope, value: Flags
) -> None:
    row = row_of(envelope, value)
    try:
        compiled = wanted(asked)
    except InvalidFieldError:
        assume(False)
        raise
    message = envelope_pb2.Envelope.FromString(row.flags + row.basic + row.detail)
    assert compiled.passes(row) == Reference(message).passes(asked)


@given(filters())
def test_only_conditions_on_flags_can_change_their_mind(asked: pb.EnvelopeFilter) -> None:
    try:
        compiled = wanted(asked)
    except InvalidFieldError:
        assume(False)
        raise
    assert compiled.mutable == bool(marks(asked.flags_set) | marks(asked.flags_unset))
