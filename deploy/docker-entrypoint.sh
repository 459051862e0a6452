#!/bin/sh
# gRPC listens on all interfaces once TLS and a token are set, and on the container's loopback until then: the service
# refuses to be reachable without them.
set -eu
if [ -n "${MAILSYNC_TOKEN:-}" ] && [ -n "${MAILSYNC_TLS__CERT_FILE:-}" ] && [ -n "${MAILSYNC_TLS__KEY_FILE:-}" ]; then
    export MAILSYNC_LISTEN="${MAILSYNC_LISTEN:-0.0.0.0:50051}"
fi
exec "$@"
