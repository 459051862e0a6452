"""Placeholder."""


def demo() -> None:
    """Show it live."""
