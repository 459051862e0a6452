#!/usr/bin/env bash
# Runs the tests of every client under clients/, each with its language's own tool, against the real server.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "== clients/python"
.venv/bin/pytest --quiet clients/python

echo "== clients/go"
scripts/need.sh go
cd clients/go
go vet ./...
go test ./...
