#!/bin/sh
# Regenerates the Python stubs and their types from proto/mailsync_grpc/v1. The output depends only on the .proto files and on
# the pinned grpcio-tools and mypy-protobuf, so CI can run this and compare. PYTHON names another interpreter than .venv's.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
plugins=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')
protoc() {
    PATH="$plugins:$PATH" "$python" -m grpc_tools.protoc -Iproto -Ithird_party/googleapis "$@"
}

rm -f mailsync_grpc/v1/*_pb2.py mailsync_grpc/v1/*_pb2.pyi mailsync_grpc/v1/*_pb2_grpc.py mailsync_grpc/v1/*_pb2_grpc.pyi
protoc --python_out=. --mypy_out=quiet:. proto/mailsync_grpc/v1/*.proto
# Only these have services; the plugins would write empty modules for the others.
protoc --grpc_python_out=. --mypy_grpc_out=quiet:. proto/mailsync_grpc/v1/*_service.proto
