#!/bin/sh
# Makes sure that the tests can start a PgBouncer: installs the one of apt or brew when there is none.
set -eu
if [ -n "${LOCUS_PGBOUNCER_BIN:-}" ] || command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ]; then exit 0; fi
sh "$(dirname "$0")/package.sh" PgBouncer "name one by LOCUS_PGBOUNCER_BIN" pgbouncer
command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ] || { echo "PgBouncer is installed, but neither in PATH nor in /usr/sbin: name it by LOCUS_PGBOUNCER_BIN." >&2; exit 1; }
