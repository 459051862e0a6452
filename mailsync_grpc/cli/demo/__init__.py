"""The demo: a throw-away mail server with a realistic mailbox, and a walk through what mailsync does with it.

The tests and benchmarks use the same mail server and the same mailbox, so what is shown is what is tested.
"""
