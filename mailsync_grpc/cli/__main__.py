"""`python -m mailsync_grpc.cli`: the command without its script, as the demo starts the service."""

from mailsync_grpc.cli.main import main

main()
