"""How much of each envelope, as options say it."""

from enum import StrEnum

from mailsync_grpc.v1.envelope_pb2 import EnvelopeView


class View(StrEnum):
    """How much of each envelope."""

    FLAGS = "flags"
    BASIC = "basic"
    FULL = "full"


VIEWS = {
    View.FLAGS: EnvelopeView.ENVELOPE_VIEW_FLAGS,
    View.BASIC: EnvelopeView.ENVELOPE_VIEW_BASIC,
    View.FULL: EnvelopeView.ENVELOPE_VIEW_FULL,
}
