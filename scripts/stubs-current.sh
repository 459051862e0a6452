#!/usr/bin/env bash
# Regenerates the stubs into a directory of their own and compares them with those checked in.
set -euo pipefail
cd "$(dirname "$0")/.."

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
mkdir -p "$fresh/mailsync_grpc/v1"
cp -r proto third_party "$fresh/"
PYTHON="$PWD/.venv/bin/python" "$fresh/proto/generate.sh"
if ! diff -r --exclude=__pycache__ --exclude=__init__.py mailsync_grpc/v1 "$fresh/mailsync_grpc/v1"; then
    echo "the generated stubs are not those of proto/: run 'make proto' and commit the result" >&2
    exit 1
fi
