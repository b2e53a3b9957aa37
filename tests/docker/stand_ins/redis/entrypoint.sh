#!/bin/sh
# The official image is built without the protected mode: a container's network is not the world.
set -eu
if [ "$1" = redis-server ]; then
  set -- "$@" --protected-mode no
fi
exec "$@"
