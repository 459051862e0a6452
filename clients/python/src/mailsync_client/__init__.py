"""Client of mailsync: typed calls, a watch that misses nothing, and a mirror kept in step by it.

`Client` connects and carries one stub for each service; `Client.watch` yields what changed, connects again by itself and
raises `ResyncRequired` when the position is lost; `follow` keeps a `Mirror` of one account in step, resync included.
Messages live in `mailsync_client.v1`, one module for each .proto file.
"""

from mailsync_client.client import Client
from mailsync_client.follow import follow
from mailsync_client.mirror import Item, Mirror
from mailsync_client.state_hash import state_hash
from mailsync_client.v1.event_service_pb2 import StartNow, StartOldest, StartSnapshot
from mailsync_client.watch import Break, ResyncRequired

__all__ = [
    "Break",
    "Client",
    "Item",
    "Mirror",
    "ResyncRequired",
    "StartNow",
    "StartOldest",
    "StartSnapshot",
    "follow",
    "state_hash",
]
