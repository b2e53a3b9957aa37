#!/bin/sh
# Writes the locked requirements of the images, with a hash per file, for every platform at once. Needs uv.
set -eu
cd "$(dirname "$0")"
lock() {
  uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --quiet --upgrade \
    --constraint constraints.txt --custom-compile-command docker/lock.sh --output-file "$@"
}
lock requirements.lock ../pyproject.toml
lock backend/requirements.lock backend/requirements.txt
printf '%s\n' 'hatch-fancy-pypi-readme>=24.1' 'hatchling>=1.25' | lock build.lock -
