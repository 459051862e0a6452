"""A client that a test may freeze: `python -m tests.support.watch_child <address>` watches, says so, and watches on."""

import sys

import grpc

from mailsync_grpc.v1 import event_service_pb2 as pb
from mailsync_grpc.v1 import event_service_pb2_grpc


def main(address: str) -> None:
    """Watch from now on until killed."""
    with grpc.insecure_channel(address) as channel:
        for _ in event_service_pb2_grpc.EventServiceStub(channel).WatchEvents(pb.WatchEventsRequest()):
            print("watching", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
