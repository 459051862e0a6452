"""Where the mirror and its event log are kept: one protocol, several engines, one conformance suite."""
