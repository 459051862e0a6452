"""What callers see: one module a gRPC service, and what they share (errors, tokens, pages, requests, the registry)."""
