#!/usr/bin/env bash
# Looks up every installed dependency, the development tools included, in the advisory database of PyPI. Needs the network;
# a dependency that cannot be looked up fails it as a vulnerable one does.
set -euo pipefail
cd "$(dirname "$0")/.."

.venv/bin/python -m pip install -qq --disable-pip-version-check --editable '.[audit]'
installed=$(mktemp)
trap 'rm -f "$installed"' EXIT
.venv/bin/python -m pip freeze --exclude-editable >"$installed"
.venv/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement "$installed" "$@"
