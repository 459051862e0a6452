#!/bin/sh
# Regenerates gen/mailsync/v1 from the .proto files, or into DIRECTORY instead of this one. Usage: generate.sh [DIRECTORY]
#
# protoc is that of the pinned grpcio-tools; the plugins are installed by version into a directory of their own, so that
# the output depends on nothing a machine may have.
set -eu
cd "$(dirname "$0")/../.."
out=${1:-clients/go}
python=${PYTHON:-.venv/bin/python}
plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
GOBIN="$plugins" go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
GOBIN="$plugins" go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2

mkdir -p "$out"
rm -rf "$out/gen/mailsync/v1"
PATH="$plugins:$PATH" "$python" -m grpc_tools.protoc -Iproto -Ithird_party/googleapis \
    --go_out="$out" --go_opt=module=mailsync --go-grpc_out="$out" --go-grpc_opt=module=mailsync \
    proto/mailsync_grpc/v1/*.proto
