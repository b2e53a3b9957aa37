#!/bin/sh
# What the official image's entrypoint does with POSTGRES_USER, POSTGRES_PASSWORD[_FILE], POSTGRES_DB and
# POSTGRES_HOST_AUTH_METHOD=trust.
set -eu
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  umask 077
  if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
    POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
  fi
  file=$(mktemp)
  method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [ "$method" = trust ]; then POSTGRES_PASSWORD=${POSTGRES_PASSWORD:-unused}; fi
  printf '%s\n' "${POSTGRES_PASSWORD:?a password is needed}" >"$file"
  initdb --username="$user" --pwfile="$file" --auth="$method" --encoding=UTF8 --locale=C.UTF-8
  rm -f "$file"
  echo "host all all all $method" >>"$PGDATA/pg_hba.conf"
  echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
  if [ "$database" != postgres ]; then
    echo "CREATE DATABASE \"$database\"" | postgres --single -j -D "$PGDATA" postgres
  fi
fi
exec "$@"
