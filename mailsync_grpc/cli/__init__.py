"""The command line: what people type, and the demo. It talks to a server over gRPC like any other client."""

import os

# What gRPC's core has to say of connections belongs neither to a service's log nor between a command's lines; its
# failures reach us as exceptions. It reads this once, when grpc is first imported, hence here.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
