#!/bin/sh
# Usage: local/install.sh GROUP
# Brings .venv to what GROUP of pyproject.toml needs, at the versions of constraints.txt. What works is kept; what does not is made anew.
set -eu
group=$1
python=.venv/bin/python

say() { printf '%s\n' "$*" >&2; }

runs() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

make_environment() {
    for found in python3 python3.13 python3.12 python3.11 python; do
        if runs "$found"; then break; fi
        found=
    done
    if [ -z "$found" ]; then
        version=$(python3 --version 2>/dev/null || echo "no python3")
        say "Trainwright needs Python 3.11 or newer, and this machine has $version: install one from https://www.python.org/downloads/."
        exit 1
    fi
    if ! "$found" -c 'import ensurepip, venv' 2>/dev/null; then
        say "The Python here ($found) cannot make environments: install its venv module (Debian and Ubuntu: apt-get install python3-venv)."
        exit 1
    fi
    say "Making .venv with $("$found" --version)."
    rm -rf .venv
    "$found" -m venv .venv
}

# An install that was cut off leaves its mark: half a package is worse than none.
if ! runs "$python" || ! "$python" -m pip --version >/dev/null 2>&1 || [ -e .venv/unfinished ]; then
    make_environment
fi

touch .venv/unfinished
say "Installing what '$group' needs; the first time takes minutes."
"$python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip
"$python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --group "$group"
rm .venv/unfinished
touch ".venv/$group"
