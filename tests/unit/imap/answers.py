"""FETCH answers as Dovecot 2.3 sends them, whole and with one attribute replaced."""

ATTRIBUTES = {
    "UID": "7",
    "FLAGS": "(\\Seen $Forwarded)",
    "INTERNALDATE": '"17-Jul-1996 02:44:25 -0700"',
    "RFC822.SIZE": "4286",
    "ENVELOPE": (
        '("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "=?utf-8?q?R=C3=A9sum=C3=A9?="'
        ' (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu"))'
        ' (("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu"))'
        ' ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John \\"J\\" Klensin" NIL "KLENSIN" "MIT.EDU")) NIL'
        ' "<first@mail.example> <second@mail.example>" "<B27397-0100000@cac.washington.edu>")'
    ),
    "BODYSTRUCTURE": ('("text" "plain" ("charset" "US-ASCII") NIL NIL "7BIT" 3028 92 NIL NIL NIL NIL)'),
    "BODY[HEADER.FIELDS (REFERENCES AUTO-SUBMITTED)]": "{44}\r\nReferences: <r1@mail.example>\r\n <r2@x.y>\r\n\r\n",
}


def answer(**replaced: str) -> bytes:
    """One FETCH response; `ENVELOPE="NIL"` replaces an attribute."""
    return response(ATTRIBUTES | replaced)


def response(attributes: dict[str, str]) -> bytes:
    return f"* 1 FETCH ({' '.join(f'{name} {value}' for name, value in attributes.items())})\r\n".encode(
        "latin-1"
    )
