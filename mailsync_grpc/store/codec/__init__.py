"""Between values and bytes: the one place below the services that knows the generated classes.

What others use is named here: the services join stored envelopes and make messages of records, the engines encode
changes and decode what they stored.
"""

from mailsync_grpc.store.codec.envelope import encode_envelope, encode_flags
from mailsync_grpc.store.codec.identity import View, identity, join_envelope, join_envelopes
from mailsync_grpc.store.codec.messages import (
    account_message,
    folder_message,
    report_message,
    run_message,
)

__all__ = [
    "View",
    "account_message",
    "encode_envelope",
    "encode_flags",
    "folder_message",
    "identity",
    "join_envelope",
    "join_envelopes",
    "report_message",
    "run_message",
]
