"""Keeping the mirror equal to the mail server: pure modules decide, small runners do.

Decide: `diff` (flags), `window` (what is left out), `batching` (batch sizes, poison), `plan` (what a look
calls for), `tree` (folders), `runs`, `retry`, `scheduler`.
Do: `folder` and `backfill` (one folder, through `commit`), `window_keeper`, `folders` (LIST), `run_keeper`, `account`
(one turn of an account), `worker` (the process).
"""
