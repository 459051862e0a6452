#!/usr/bin/env bash
# Runs the tests of every client under clients/, each with its language's own tools, then the scenario that all of them
# pass against the real server. Checks first that each client's generated code is that of proto/.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

same() {
    diff -r --exclude=__pycache__ --exclude=__init__.py "$1" "$2" && return
    echo "$1 is not what proto/ generates: run $3 and commit the result" >&2
    exit 1
}

go_new_enough() {
    local needed present
    needed=$(sed -n 's/^go \([0-9.]*\)$/\1/p' clients/go/go.mod)
    # A newer toolchain may be fetched by the go command itself; then this says the newer version.
    present=$(cd clients/go && go version 2>/dev/null | sed 's/.* go\([0-9.]*\) .*/\1/')
    [ -n "$present" ] && printf '%s\n' "$needed" "$present" | sort --check --version-sort 2>/dev/null && return
    echo "Go $needed or newer is missing (found: ${present:-none}). Install it from https://go.dev/dl/" >&2
    exit 1
}

echo "== clients/python: generated code, types, tests, package"
clients/python/generate.sh "$work/python"
same clients/python/src/mailsync_client/v1 "$work/python/mailsync_client/v1" clients/python/generate.sh
(cd clients/python && "$root/.venv/bin/mypy" && "$root/.venv/bin/pytest" --quiet)
# Installed as users install it: what the wheel lacks is found missing by the scenario.
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --target "$work/site" ./clients/python

echo "== clients/go: generated code, format, vet, tests, mirror"
command -v go >/dev/null || scripts/need.sh go
go_new_enough
clients/go/generate.sh "$work/go"
same clients/go/gen "$work/go/gen" clients/go/generate.sh
(
    cd clients/go
    test -z "$(gofmt -l .)" || { gofmt -d . && exit 1; }
    go vet ./...
    go test ./...
    go build -o "$work/mirror" ./cmd/mirror
)

echo "== all clients: the scenario"
MYPYPATH=clients/python/src .venv/bin/mypy clients/scenario
PYTHONPATH="$work/site" .venv/bin/pytest --quiet --log-cli-level=INFO clients/scenario \
    --mirror python=".venv/bin/python clients/python/examples/mirror.py" --mirror go="$work/mirror" \
    --mirror python-snapshot=".venv/bin/python clients/python/examples/mirror.py --snapshot" --mirror go-snapshot="$work/mirror --snapshot"
