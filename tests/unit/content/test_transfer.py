"""Transfer encodings: any cut into pieces decodes alike, broken input is read as well as it can be."""

import base64
import binascii
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.content.transfer import TransferDecoder, transfer_decoder


def decode(encoding: str, *pieces: bytes) -> tuple[bytes, bool]:
    decoder = transfer_decoder(encoding)
    assert decoder is not None
    decoded = b"".join([decoder.feed(piece) for piece in pieces])
    return decoded + decoder.finish(), decoder.broken


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.binary(max_size=400), st.lists(st.integers(0, 10_000), max_size=8))
def test_base64_gives_back_what_was_encoded_however_it_is_cut(data: bytes, places: list[int]) -> None:
    encoded = base64.encodebytes(data).replace(b"\n", b"\r\n")
    assert decode("base64", *cut(encoded, places)) == (data, False)


@given(st.binary(max_size=400), st.lists(st.integers(0, 10_000), max_size=8))
def test_quoted_printable_gives_back_what_was_encoded_however_it_is_cut(
    data: bytes, places: list[int]
) -> None:
    # b2a_qp in text mode leaves line ends as they are, so data has none but CRLF.
    data = data.replace(b"\r", b"").replace(b"\n", b"\r\n")
    encoded = binascii.b2a_qp(data)
    assert decode("quoted-printable", *cut(encoded, places)) == (data, False)


@given(
    st.sampled_from(["base64", "quoted-printable"]),
    st.lists(
        st.sampled_from(
            [b"=", b"==", b"=4", b"=4A", b" ", b"\t", b"\r\n", b"\r", b"\n", b"QUJD", b"Q", b"\xff", b"_"]
        )
    ),
    st.lists(st.integers(0, 10_000), max_size=6),
)
def test_broken_input_decodes_alike_however_it_is_cut(
    encoding: str, tokens: list[bytes], places: list[int]
) -> None:
    data = b"".join(tokens)
    assert decode(encoding, *cut(data, places)) == decode(encoding, data)


@pytest.mark.parametrize(
    ("encoded", "decoded", "broken"),
    [
        (b"QUJD", b"ABC", False),
        (b"QUI=", b"AB", False),
        (b"Q U\r\nI =\r\n", b"AB", False),
        (b"QUI", b"AB", True),
        (b"QUJDR", b"ABC", True),
        (b"QU*J!D", b"ABC", True),
        (b"QQ==\r\n____\r\nlist footer", b"A", True),
        (b"=QUJD", b"ABC", True),
        (b"", b"", False),
    ],
)
def test_base64_skips_what_is_no_base64(encoded: bytes, decoded: bytes, broken: bool) -> None:
    assert decode("base64", encoded) == (decoded, broken)


@pytest.mark.parametrize(
    ("encoded", "decoded", "broken"),
    [
        (b"caf=C3=A9", "café".encode(), False),
        (b"caf=c3=a9", "café".encode(), False),
        (b"soft=\r\nbreak", b"softbreak", False),
        (b"soft=  \r\nbreak", b"softbreak", False),
        (b"line  \t\r\nnext \n", b"line\r\nnext\n", False),
        (b"1+1=2, x==41", b"1+1=2, x=A", True),
        (b"bare=\rreturn", b"bare=\rreturn", True),
        (b"ends with a soft break=", b"ends with a soft break", False),
        (b"ends with half an escape=4", b"ends with half an escape=4", True),
        (b"8-bit \xe9", b"8-bit \xe9", False),
    ],
)
def test_quoted_printable_keeps_what_is_no_escape(encoded: bytes, decoded: bytes, broken: bool) -> None:
    assert decode("quoted-printable", encoded) == (decoded, broken)


@pytest.mark.parametrize("encoding", ["", "7bit", "8bit", "binary"])
def test_encodings_that_encode_nothing_change_nothing(encoding: str) -> None:
    assert decode(encoding, b"=41", b"QUI=\xff") == (b"=41QUI=\xff", False)


@pytest.mark.parametrize("encoding", ["x-uuencode", "base-64", "quoted printable"])
def test_an_unknown_encoding_has_no_decoder(encoding: str) -> None:
    assert transfer_decoder(encoding) is None


@pytest.mark.parametrize("filler", [b" ", b"=", b"\r", b" \r", b"= ", b"=4", b"\t\n"], ids=repr)
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_hostile_repetition_takes_linear_time(encoding: str, filler: bytes) -> None:
    """mime_bomb: an expression that backtracks would take hours for this."""
    decoder = transfer_decoder(encoding)
    assert decoder is not None
    started = time.process_time()
    for _ in range(4):
        decoder.feed(filler * (256 * 1024 // len(filler)))
    assert time.process_time() - started < 5
    assert held(decoder) <= 1_010


def held(decoder: TransferDecoder) -> int:
    return len(decoder.finish())
