"""The command line: what people type, and the demo. It talks to a server over gRPC like any other client."""
