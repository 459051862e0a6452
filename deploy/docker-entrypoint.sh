#!/bin/sh
# gRPC listens on all interfaces once TLS is set, and on the container's loopback until then: the service refuses to be
# reachable in clear text. Over TLS nobody is let in without an access token.
set -eu
if [ -n "${MAILSYNC_TLS__CERT_FILE:-}" ] && [ -n "${MAILSYNC_TLS__KEY_FILE:-}" ]; then
    export MAILSYNC_LISTEN="${MAILSYNC_LISTEN:-0.0.0.0:50051}"
fi
exec "$@"
