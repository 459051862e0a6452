"""The state hash, by the vectors that every client must reproduce (clients/scenario/state_hash.json)."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from mailsync_client import state_hash
from mailsync_client.v1.envelope_pb2 import Envelope

VECTORS = json.loads((Path(__file__).parents[2] / "scenario" / "state_hash.json").read_text("utf-8"))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["what"] for vector in VECTORS])
def test_the_hash_is_the_one_every_client_computes(vector: dict[str, Any]) -> None:
    assert state_hash(ParseDict(envelope, Envelope()) for envelope in vector["envelopes"]) == vector["sha256"]


def test_the_hash_of_one_envelope_is_that_of_its_netstrings_written_by_hand() -> None:
    envelope = Envelope(name="n", envelope_id="e", size=7, message_id="i@x", subject="ü")
    envelope.flags.seen = True
    envelope.flags.keywords.append("work")
    record = b"1:n,1:e,23:12:keyword:work,4:seen,,0:,1:7,3:i@x,2:\xc3\xbc,"
    assert state_hash([envelope]) == sha256(b"%d:%b," % (len(record), record)).hexdigest()
