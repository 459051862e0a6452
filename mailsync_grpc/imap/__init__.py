"""IMAP: guarded connections, and pure parsers of what they answer."""
