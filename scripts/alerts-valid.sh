#!/usr/bin/env bash
# Checks every Prometheus rule file under deploy/ with promtool.
set -euo pipefail
cd "$(dirname "$0")/.."

find deploy -path '*prometheus*' -name '*.rules.yml' -exec promtool check rules {} +
