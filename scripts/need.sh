#!/usr/bin/env bash
# Installs each named program through apt when root and missing; else says exactly what to install and fails.
set -euo pipefail

# Daemons live where an ordinary user's PATH does not reach.
PATH="$PATH:/usr/sbin:/usr/local/sbin"

package_of() {
    case "$1" in
        dovecot) echo dovecot-imapd ;;
        promtool) echo prometheus ;;
        go) echo golang-go ;;
        python-venv) echo python3-venv ;;
        *) echo "need.sh: unknown program '$1'" >&2; exit 2 ;;
    esac
}

present() {
    case "$1" in
        python-venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

install() {
    export DEBIAN_FRONTEND=noninteractive
    # The package lists of a fresh image are empty or old: refresh them only when the install fails without.
    apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1 </dev/null && return
    apt-get update -qq </dev/null
    apt-get install -y -qq --no-install-recommends "$1" </dev/null >/dev/null
}

for program in "$@"; do
    present "$program" && continue
    package=$(package_of "$program")
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing $package (for $program) through apt" >&2
        # Judged by what is there afterwards: a package may be unable to start its own service here, which does not matter.
        install "$package" || true
        present "$program" && continue
    fi
    echo "$program is missing. Install it with: sudo apt-get install --no-install-recommends $package" >&2
    exit 1
done
