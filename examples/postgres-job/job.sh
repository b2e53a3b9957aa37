#!/bin/sh
# Counts to ten in SQL; its exit code is the container's.
set -eu
psql --host 127.0.0.1 --username postgres --no-align --tuples-only --command 'SELECT sum(n) FROM generate_series(1, 10) AS n'
