"""The contract `mailsync.v1` as Python: stubs and types generated from `proto/mailsync_grpc/v1` by `make proto`, never edited."""
