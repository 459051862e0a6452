"""mailsync mirrors the metadata of IMAP mailboxes and tells programs, over gRPC, what changed.

The layers, from the top: ``cli``, ``server``, ``services``, ``sync`` and ``content``, ``imap`` and ``store``, ``metrics`` and
``config``, ``model``, ``errors``. A layer imports those below it only, which import-linter enforces.
"""

__version__ = "0.1.0"
