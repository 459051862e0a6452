"""Frozen values shared by every layer: ids, flags, UID sets, envelopes, folders, accounts, changes. No I/O."""
