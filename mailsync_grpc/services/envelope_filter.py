"""Which envelopes a caller wants: the contract's EnvelopeFilter, compiled into one predicate over stored rows.

A row is asked what costs least first: its flags, once for each set of flags that the folder knows; its INTERNALDATE, which
its segment begins with; whether it has an attachment. Only a condition on its text has its envelope parsed. What is not
known of a message (not fetched in minimal mode, or missing from a PARTIAL record) never matches; flags always are known.
Text is compared by `str.casefold`, which folds each character by itself, so that a part of a text folds to a part of it.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from math import inf
from typing import Final, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.model.flags import RECENT, Flags
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.services.fields import Violations
from mailsync_grpc.store.codec.envelope import (
    decode_flags,
    decode_has_attachment,
    decode_internal_date,
    decode_partial,
)
from mailsync_grpc.store.values import EnvelopeRow
from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb

_MAX_RANGES: Final = 1_000
_MAX_FLAGS: Final = 100
_MAX_TEXT: Final = 1_000
_MAX_WORDS: Final = 32
_FLAGS: Final = ("flags_set", "flags_unset")
_TEXTS: Final = ("from_contains", "to_contains", "subject_contains", "thread_id", "message_id", "text")
_KINDS_OF_FLAGS: Final = 1_024
"""Sets of flags whose answer is kept; a folder hardly ever has more."""
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799

Check = Callable[[EnvelopeRow], bool]
Condition = Callable[[envelope_pb2.Envelope], bool]
Marks = frozenset[tuple[str, str]]


class Wanted(NamedTuple):
    """What a filter lets through: `uids` (None: any) that pass every check. `mutable` when what passes may change."""

    uids: UidSet | None = None
    checks: tuple[Check, ...] = ()
    mutable: bool = False

    @property
    def is_all(self) -> bool:
        """Whether every envelope passes."""
        return self.uids is None and not self.checks

    def passes(self, row: EnvelopeRow) -> bool:
        """Whether a row, whose UID is not looked at, meets every condition."""
        for check in self.checks:  # noqa: SIM110 - all() over a generator takes several times as long
            if not check(row):
                return False
        return True


def wanted(asked: pb.EnvelopeFilter) -> Wanted:
    """Return what a request's `filter` lets through. Raises InvalidFieldError."""
    if not asked.ByteSize():
        return Wanted()  # as in most lists, which are spared the rest
    _validate(asked)
    all_of, none_of = _marks(_flags(asked.flags_set)), _marks(_flags(asked.flags_unset))
    mutable = bool(all_of or none_of)
    checks = [*_dates(asked), *_attachments(asked), *_texts(asked)]
    if mutable:
        checks.insert(0, _marked(all_of, none_of))
    return Wanted(_uids(asked), tuple(checks), mutable)


# What a filter may be


def _validate(asked: pb.EnvelopeFilter) -> None:
    faults = Violations()
    _validate_sizes(asked, faults)
    # What is too much is not looked at any closer.
    faults.raise_any()
    in_order = all(0 < each.first <= each.last for each in asked.uids)
    faults.unless(in_order, "filter.uids", "ranges of 1 <= first <= last")
    _validate_dates(asked, faults)
    _validate_flags(asked, faults)
    _validate_texts(asked, faults)
    faults.raise_any()


def _validate_sizes(asked: pb.EnvelopeFilter, faults: Violations) -> None:
    faults.unless(len(asked.uids) <= _MAX_RANGES, "filter.uids", f"at most {_MAX_RANGES} ranges")
    for name in _FLAGS:
        flags: envelope_pb2.Flags = getattr(asked, name)
        count = len(flags.keywords) + len(flags.labels)
        faults.unless(count <= _MAX_FLAGS, f"filter.{name}", f"at most {_MAX_FLAGS} keywords and labels")
    for name in _TEXTS:
        is_short = len(getattr(asked, name)) <= _MAX_TEXT
        faults.unless(is_short, f"filter.{name}", f"at most {_MAX_TEXT} characters")


def _validate_dates(asked: pb.EnvelopeFilter, faults: Violations) -> None:
    for name in ("since", "before"):
        time: Timestamp = getattr(asked, name)
        in_range = _FIRST_SECOND <= time.seconds <= _LAST_SECOND and 0 <= time.nanos < 10**9
        faults.unless(in_range, f"filter.{name}", "a time of the years 1 to 9999")
    if asked.HasField("since") and asked.HasField("before"):
        since, before = asked.since, asked.before
        is_span = (since.seconds, since.nanos) < (before.seconds, before.nanos)
        faults.unless(is_span, "filter.before", "a time after since")


def _validate_flags(asked: pb.EnvelopeFilter, faults: Violations) -> None:
    for name in _FLAGS:
        flags: envelope_pb2.Flags = getattr(asked, name)
        are_kept = all(each and each.casefold() != RECENT for each in flags.keywords)
        faults.unless(are_kept, f"filter.{name}.keywords", "names that are not empty, and not \\Recent")
        faults.unless(all(flags.labels), f"filter.{name}.labels", "names that are not empty")
    apart = _marks(_flags(asked.flags_set)).isdisjoint(_marks(_flags(asked.flags_unset)))
    faults.unless(apart, "filter.flags_unset", "flags, keywords and labels that flags_set does not name")


def _validate_texts(asked: pb.EnvelopeFilter, faults: Violations) -> None:
    for name in _TEXTS:
        text: str = getattr(asked, name)
        faults.unless(bool(text.strip() or not text), f"filter.{name}", "more than blanks")
    faults.unless(bool(_bare_id(asked) or not asked.message_id), "filter.message_id", "a Message-ID")
    faults.unless(len(asked.text.split()) <= _MAX_WORDS, "filter.text", f"at most {_MAX_WORDS} words")


# The conditions, each as the checks that it is


def _uids(asked: pb.EnvelopeFilter) -> UidSet | None:
    ranges = ",".join(f"{each.first}:{each.last}" for each in asked.uids)
    return UidSet.parse(ranges) if ranges else None


def _flags(message: envelope_pb2.Flags) -> Flags:
    return decode_flags(envelope_pb2.Envelope(flags=message).SerializeToString())


def _marks(flags: Flags) -> Marks:
    """Return flags as they are compared: without regard to case, but for labels, which are names with one."""
    return frozenset(
        [("flag", name.casefold()) for name in flags.names] + [("label", label) for label in flags.labels]
    )


def _marked(all_of: Marks, none_of: Marks) -> Check:
    @lru_cache(maxsize=_KINDS_OF_FLAGS)
    def passes(segment: bytes) -> bool:
        marks = _marks(decode_flags(segment))
        return all_of <= marks and none_of.isdisjoint(marks)

    return lambda row: passes(row.flags)


def _dates(asked: pb.EnvelopeFilter) -> Iterator[Check]:
    if not (asked.HasField("since") or asked.HasField("before")):
        return
    first = _whole_seconds(asked.since) if asked.HasField("since") else -inf
    end = _whole_seconds(asked.before) if asked.HasField("before") else inf

    def passes(row: EnvelopeRow) -> bool:
        date = decode_internal_date(row.basic)
        return date is not None and first <= date < end

    yield passes


def _whole_seconds(time: Timestamp) -> int:
    """Return the first whole second that is not before a time; INTERNALDATE knows no smaller part."""
    return time.seconds + (time.nanos > 0)


def _attachments(asked: pb.EnvelopeFilter) -> Iterator[Check]:
    if not asked.HasField("has_attachment"):
        return
    if asked.has_attachment:
        yield lambda row: decode_has_attachment(row.basic)
    else:
        yield lambda row: not decode_has_attachment(row.basic) and decode_partial(row.detail) is None


def _texts(asked: pb.EnvelopeFilter) -> Iterator[Check]:
    """Yield the checks of what is text: first those that a row can fail without being parsed."""
    if asked.thread_id:
        octets = asked.thread_id.encode()
        yield lambda row: octets in row.basic
    words = asked.text.casefold().split()
    if words:
        yield lambda row: _may_have(row.basic, words)
    conditions = tuple(_conditions(asked, words))
    if conditions:
        yield lambda row: _holds(envelope_pb2.Envelope.FromString(row.basic), conditions)


def _may_have(basic: bytes, words: list[str]) -> bool:
    # Between two texts are a tag and a length, which end in an ASCII octet: no text is spoilt by what is before it.
    folded = basic.decode("utf-8", "ignore").casefold()
    return all(word in folded for word in words)


def _holds(envelope: envelope_pb2.Envelope, conditions: tuple[Condition, ...]) -> bool:
    return all(condition(envelope) for condition in conditions)


def _conditions(asked: pb.EnvelopeFilter, words: list[str]) -> Iterator[Condition]:
    if asked.thread_id:
        yield lambda envelope: envelope.thread_id == asked.thread_id
    if message_id := _bare_id(asked).casefold():
        yield lambda envelope: envelope.message_id.casefold() == message_id
    if subject := asked.subject_contains.casefold():
        yield lambda envelope: subject in envelope.subject.casefold()
    if sender := asked.from_contains.casefold():
        yield lambda envelope: _has(sender, _named(envelope, "from"))
    if recipient := asked.to_contains.casefold():
        yield lambda envelope: _has(recipient, _named(envelope, "to", "cc", "bcc"))
    if words:
        yield lambda envelope: _has_all(words, envelope)


def _bare_id(asked: pb.EnvelopeFilter) -> str:
    return asked.message_id.strip().removeprefix("<").removesuffix(">")


def _named(envelope: envelope_pb2.Envelope, *lists: str) -> Iterator[str]:
    """Yield the names and addresses of address lists, folded."""
    for name in lists:
        for each in getattr(envelope, name):
            yield each.display_name.casefold()
            yield each.address.casefold()


def _has(part: str, texts: Iterator[str]) -> bool:
    return any(part in text for text in texts)


def _has_all(words: list[str], envelope: envelope_pb2.Envelope) -> bool:
    people = _named(envelope, "from", "sender", "reply_to", "to", "cc", "bcc")
    texts = [envelope.subject.casefold(), *people]
    return all(any(word in text for text in texts) for word in words)
