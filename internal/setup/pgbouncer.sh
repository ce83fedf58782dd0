#!/bin/sh
# Makes sure that the tests can start a PgBouncer: installs the one of apt or brew when there is none. Nothing of it is
# left running.
set -eu
if [ -n "${LOCUS_PGBOUNCER_BIN:-}" ] || command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ]; then exit 0; fi
echo "No PgBouncer found: installing one, for the tests."
if command -v apt-get >/dev/null 2>&1; then
  run=""
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "Installing PgBouncer needs root: run 'apt-get install pgbouncer' as root, or name one by LOCUS_PGBOUNCER_BIN." >&2; exit 1; }
    run=sudo
  fi
  $run apt-get update -q
  # The package would otherwise start a service of its own: this says that none may be started, and goes again.
  policy=/usr/sbin/policy-rc.d
  made=""
  if [ ! -e $policy ]; then
    made=$policy
    printf '#!/bin/sh\nexit 101\n' | $run tee $policy >/dev/null
    $run chmod 755 $policy
  fi
  done=0
  $run env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends pgbouncer || done=$?
  [ -z "$made" ] || $run rm -f "$made"
  [ "$done" -eq 0 ] || exit "$done"
elif command -v brew >/dev/null 2>&1; then
  brew install pgbouncer
else
  echo "Neither apt-get nor brew is here. Install PgBouncer, or name its program by LOCUS_PGBOUNCER_BIN." >&2
  exit 1
fi
command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ] || { echo "PgBouncer is installed, but neither in PATH nor in /usr/sbin: name it by LOCUS_PGBOUNCER_BIN." >&2; exit 1; }
