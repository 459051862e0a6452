"""Ids are written in base32 a page at a time, exactly as one at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.model.ids import ID_BYTES, encode_id
from mailsync_grpc.store.codec.identity import id_texts

IDS = st.lists(st.binary(min_size=ID_BYTES, max_size=ID_BYTES), max_size=40)


@given(IDS)
def test_a_page_of_ids_is_written_as_each_alone(ids: list[bytes]) -> None:
    assert id_texts(ids) == [encode_id(each).encode() for each in ids]


@pytest.mark.parametrize("octet", [b"\x00", b"\xff"])
def test_ids_at_the_ends_of_the_range_keep_to_themselves(octet: bytes) -> None:
    assert id_texts([octet * ID_BYTES, b"\x55" * ID_BYTES]) == [
        encode_id(octet * ID_BYTES).encode(),
        encode_id(b"\x55" * ID_BYTES).encode(),
    ]
