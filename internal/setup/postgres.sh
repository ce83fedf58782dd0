#!/bin/sh
# Makes sure that a Postgres server (15 or newer) can be started on this machine: looks where the server itself looks,
# and installs one with apt or brew when there is none. Nothing is started and no cluster is made.
set -eu
min=15
version() { "$1/postgres" --version 2>/dev/null | sed -n 's/.* \([0-9][0-9]*\).*/\1/p' | head -n 1; }
usable() { [ -x "$1/postgres" ] && [ -x "$1/initdb" ] && v=$(version "$1") && [ -n "$v" ] && [ "$v" -ge "$min" ]; }
find_bin() {
  for d in "${LOCUS_PG_BIN:-}" $(command -v postgres >/dev/null 2>&1 && dirname "$(command -v postgres)") \
    /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin \
    /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
    [ -n "$d" ] && usable "$d" && { echo "$d"; return 0; }
  done
  return 1
}
if find_bin >/dev/null; then exit 0; fi
if [ -n "${LOCUS_DATABASE_URL:-}${LOCUS_TEST_DATABASE_URL:-}" ]; then exit 0; fi # an existing server is used
echo "No Postgres $min or newer found: installing one."
if command -v apt-get >/dev/null 2>&1; then
  run=""
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "Installing Postgres needs root: run 'apt-get install postgresql' as root, or set LOCUS_DATABASE_URL." >&2; exit 1; }
    run=sudo
  fi
  # The package would otherwise make and start a cluster of its own.
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    $run mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" | $run tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi
  $run apt-get update -q
  $run env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql
elif command -v brew >/dev/null 2>&1; then
  brew install postgresql@17
else
  echo "Neither apt-get nor brew is here. Install Postgres $min or newer, set LOCUS_PG_BIN to its bin folder, or set LOCUS_DATABASE_URL to a running server." >&2
  exit 1
fi
find_bin >/dev/null || { echo "The installed Postgres is older than $min. Set LOCUS_PG_BIN to a newer one's bin folder, or LOCUS_DATABASE_URL." >&2; exit 1; }
