"""Mirrors one account into a file and says what it holds: list, then watch with a resume token, across restarts of both.

    python examples/mirror.py --account accounts/demo --state demo.json --until-quiet

Whenever all is quiet and something has changed it prints the revision it has reached and the state hash
(clients/README.md). The file holds token and envelopes together and is replaced in one step, so that whatever is
interrupted goes on where the file stands. With --snapshot the watch brings the state and nothing is listed.
"""

import argparse
import base64
import json
import os
import sys
from contextlib import closing
from pathlib import Path

from mailsync_client import Break, Client, Item, Mirror, follow, state_hash
from mailsync_client.v1.envelope_pb2 import Envelope
from mailsync_client.v1.event_service_pb2 import WatchEventsResponse


def load(path: Path, account: str) -> Mirror:
    """The mirror that `save` left, or an empty one."""
    if not path.exists():
        return Mirror(account)
    kept = json.loads(path.read_text("utf-8"))
    items = [
        Item(Envelope.FromString(base64.b64decode(item["envelope"])), item["revision"])
        for item in kept["items"]
    ]
    through = {int(partition): revision for partition, revision in kept["through"].items()}
    return Mirror(
        account,
        kept["token"],
        through,
        {item.envelope.name: item for item in items},
        read_revision=kept["read_revision"],
        partial=kept["partial"],
    )


def save(path: Path, mirror: Mirror) -> None:
    """Replace the file: token and envelopes of one and the same moment, or the file as it was."""
    items = [
        {
            "revision": item.revision,
            "envelope": base64.b64encode(item.envelope.SerializeToString()).decode("ascii"),
        }
        for item in mirror.items.values()
    ]
    kept = {
        "token": mirror.token,
        "through": mirror.through,
        "read_revision": mirror.read_revision,
        "partial": mirror.partial,
        "items": items,
    }
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(kept, file)
        file.flush()
        # After a power cut a name may otherwise stand for a file that is still empty.
        os.fsync(file.fileno())
    fresh.replace(path)


class Quiet:
    """Tells when all is quiet: a heartbeat that follows another one on the same connection.

    The first one of a connection only tells where it begins.
    """

    def __init__(self) -> None:
        self._heartbeats = 0

    def heard(self, response: WatchEventsResponse) -> bool:
        """Whether nothing happened for the whole interval before this response."""
        self._heartbeats = self._heartbeats + 1 if response.HasField("heartbeat") else 0
        return self._heartbeats > 1

    def interrupted(self, pause: Break) -> None:
        """Begin anew, and tell people beside the output why nothing comes at the moment."""
        self._heartbeats = 0
        print(
            f"interrupted ({pause.cause}), trying again in {pause.pause:.1f} s", file=sys.stderr, flush=True
        )


def run(arguments: argparse.Namespace) -> None:
    """Follow the account until stopped, or until all is quiet."""
    mirror, quiet, said = load(arguments.state, arguments.account), Quiet(), ""
    with Client.connect(arguments.address, token=os.environ.get("MAILSYNC_TOKEN"), ca=arguments.ca) as client:
        responses = follow(
            client,
            mirror,
            snapshot=arguments.snapshot,
            heartbeat=arguments.heartbeat,
            label="mirror",
            on_break=quiet.interrupted,
        )
        with closing(responses):
            for response in responses:
                save(arguments.state, mirror)
                if quiet.heard(response) and mirror.caught_up:
                    state = state_hash(mirror.envelopes())
                    if state != said:
                        print(response.through_revision, state, flush=True)
                    said = state
                    if arguments.until_quiet:
                        return


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Mirror one mailsync account into a file.")
    parser.add_argument("--address", default="127.0.0.1:50051", help="host:port or unix:/path of the service")
    parser.add_argument("--ca", help="PEM file to trust; asks for TLS")
    parser.add_argument("--account", required=True, help="accounts/{account}")
    parser.add_argument("--state", type=Path, required=True, help="file that keeps the mirror")
    parser.add_argument("--heartbeat", type=float, default=1.0, help="seconds of silence that count as quiet")
    parser.add_argument("--snapshot", action="store_true", help="begin with a snapshot instead of a list")
    parser.add_argument("--until-quiet", action="store_true", help="end when all is quiet")
    return parser.parse_args()


if __name__ == "__main__":
    run(parse())
