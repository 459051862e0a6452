"""Inputs that are nearly sound: samples whose tokens are dropped, doubled, swapped, nested or blown up.

Random octets seldom get past a parser's first look. What does harm looks right and is not: a bracket that does not end,
a literal that is longer than it says, a number with a thousand digits, a list within a list within a list.
"""

import re

from hypothesis import strategies as st

_TOKEN = re.compile(rb"[A-Za-z0-9_.@=+-]+|\r\n|\s+|.", re.DOTALL)
TOKENS = [
    *(
        b"(",
        b")",
        b'"',
        b"\\",
        b"\r\n",
        b"\n",
        b" ",
        b"\0",
        b"NIL",
        b"\xff",
        b"\xc3\xa9",
        b"=?utf-8?q?=C3?=",
        b"&",
        b"-",
    ),
    *(
        b"{3}\r\n",
        b"{0}\r\n",
        b"{99999999999999999999}\r\n",
        b"~{1}\r\n",
        b"* ",
        b"A1 OK x\r\n",
        b"BODY[",
        b"]",
        b"<0>",
    ),
    *(
        b"0",
        b"-1",
        b"4294967296",
        b"9" * 20,
        b":" + b"9" * 20,
        b"9" * 5_000,
        b"1:*",
        b"2,1:3",
        b"1e999",
        b"\xd9\xa3",
        b"\xb2",
    ),
    *(
        b"<",
        b"</",
        b"/>",
        b"<!DOCTYPE a [",
        b"<!ENTITY a 'b'>",
        b"&a;",
        b"<![CDATA[",
        b"]]>",
        b"%EMAILADDRESS%",
    ),
    *(
        b"[",
        b"{",
        b"}",
        b":",
        b'"a":',
        b"Infinity",
        b"true",
        b"null",
        b"\\ud800",
        b"Content-Length: ",
        b"\\x{41}",
    ),
]
_PAIRS = [
    (b"(", b")"),
    (b"[", b"]"),
    (b'{"a":', b"}"),
    (b"<a>", b"</a>"),
    (b'"', b'"'),
    (b"<", b">"),
    (b"(", b""),
]


@st.composite
def damaged(draw: st.DrawFn, samples: tuple[bytes, ...], limit: int) -> bytes:
    """A sample after a few blows, at most `limit` octets of it."""
    tokens = _TOKEN.findall(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 6))):
        _strike(draw, tokens, limit)
    return b"".join(tokens)[:limit]


def _strike(draw: st.DrawFn, tokens: list[bytes], limit: int) -> None:
    at = draw(st.integers(0, max(0, len(tokens) - 1)))
    end = at + draw(st.integers(0, 12))
    match draw(st.sampled_from(("drop", "insert", "replace", "swap", "double", "nest", "repeat"))):
        case "drop":
            del tokens[at:end]
        case "insert":
            tokens.insert(at, draw(st.sampled_from(TOKENS) | st.binary(max_size=8)))
        case "replace":
            tokens[at : at + 1] = [draw(st.sampled_from(TOKENS))]
        case "swap":
            tokens[at:end] = reversed(tokens[at:end])
        case "double":
            tokens[at:at] = tokens[at:end]
        case "nest":
            opening, closing = draw(st.sampled_from(_PAIRS))
            depth = draw(st.sampled_from((1, 20, 120, 3_000)))
            tokens[at:end] = [opening * depth, *tokens[at:end], closing * depth]
        case "repeat":
            run = b"".join(tokens[at:end])[:limit]
            times = min(draw(st.sampled_from((2, 50, 2_000))), limit // max(1, len(run)))
            tokens[at:end] = [run * times]
