#!/usr/bin/env bash
# Makes .venv with the package in editable form and the development tools. Usage: venv.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."

new_enough() {
    command -v "$1" >/dev/null && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))'
}

python=
for candidate in ${1:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if new_enough "$candidate"; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    echo "Python 3.11 or newer is missing. Name one with: make PYTHON=/path/to/python" >&2
    exit 1
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    scripts/need.sh python-venv
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "$python has no venv module. Install the one of its own version, e.g. apt-get install python3.12-venv" >&2
        exit 1
    fi
fi

# An interrupted first run leaves a .venv without pip: made anew then, kept otherwise.
.venv/bin/python -c 'import pip' 2>/dev/null || "$python" -m venv --clear .venv
.venv/bin/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
