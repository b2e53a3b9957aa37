#!/bin/sh
# Installs exactly what a lock file names into a virtual environment: install.sh VENV LOCK [PIP OPTIONS]
set -eu
venv=$1 lock=$2
shift 2
# The secret `ca` is there when the network's TLS is signed by an authority of its own.
if [ -s /run/secrets/ca ]; then
  export PIP_CERT=/run/secrets/ca
fi
pip --python "$venv/bin/python" install --quiet --no-compile --require-hashes --only-binary :all: --requirement "$lock" "$@"
# Some wheels carry their symbols: four fifths of the JavaScript engine, for one.
find "$venv/lib" -name '*.so*' -exec strip --strip-unneeded {} +
