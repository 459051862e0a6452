#!/bin/sh
# Regenerates src/mailsync_client/v1 from the .proto files, or into DIRECTORY instead of src. Usage: generate.sh [DIRECTORY]
#
# protoc derives Python import lines from the path of a .proto file, which is that of the server's package, and has no
# option to say otherwise. So the module path is rewritten, and it alone: the descriptors keep their file names. Descriptors
# that are the same in name and content may be loaded twice, so this client and the server package live in one process.
set -eu
cd "$(dirname "$0")/../.."
out=${1:-clients/python/src}
python=${PYTHON:-.venv/bin/python}
plugins=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')
raw=$(mktemp -d)
trap 'rm -rf "$raw"' EXIT
protoc() {
    PATH="$plugins:$PATH" "$python" -m grpc_tools.protoc -Iproto -Ithird_party/googleapis "$@"
}

protoc --python_out="$raw" --mypy_out=quiet:"$raw" proto/mailsync_grpc/v1/*.proto
# Only these have services; the plugins would write empty modules for the others.
protoc --grpc_python_out="$raw" --mypy_grpc_out=quiet:"$raw" proto/mailsync_grpc/v1/*_service.proto

mkdir -p "$out/mailsync_client/v1"
rm -f "$out"/mailsync_client/v1/*_pb2*
for file in "$raw"/mailsync_grpc/v1/*; do
    sed 's/mailsync_grpc\.v1/mailsync_client.v1/g' "$file" >"$out/mailsync_client/v1/${file##*/}"
done
