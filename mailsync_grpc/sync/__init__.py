"""Keeping the mirror equal to the mail server: pure modules decide, small runners do."""
