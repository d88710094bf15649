#!/bin/sh
# Makes a virtual environment with this package: install.sh DIRECTORY CONSTRAINTS EXTRA. PYTHON=… chooses the interpreter.
set -eu

venv=$1
constraints=$2
extra=$3

supported() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        supported "$PYTHON" && echo "$PYTHON" && return
        echo "PYTHON=$PYTHON is no Python 3.11 or newer." >&2
        return 1
    fi
    for name in python3 python3.11 python3.12 python3.13; do
        supported "$name" && command -v "$name" && return
    done
    echo "No Python 3.11 or newer was found. Install one (Debian, Ubuntu: apt-get install python3 python3-venv)," \
        "or say where it is: PYTHON=/path/to/python3 make …" >&2
    return 1
}

if ! supported "$venv/bin/python"; then
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "$python cannot make virtual environments. Install its venv module" \
            "(Debian, Ubuntu: apt-get install python3-venv)." >&2
        exit 1
    fi
    echo "Setting up $venv with $("$python" --version): once, a minute or two."
    "$python" -m venv --clear "$venv"
fi

pip="$venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint $constraints"
$pip uv
# uv takes seconds where pip takes a minute, but reads no pip.conf: a mirror or a proxy may be known to pip alone.
"$venv/bin/uv" pip install --quiet --system-certs --python "$venv/bin/python" \
    --constraint "$constraints" --build-constraint "$constraints" --editable ".[$extra]" \
    || { echo "uv could not install (above); now pip tries." >&2; $pip --editable ".[$extra]"; }
