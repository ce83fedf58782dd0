#!/bin/sh
# Installs packages of apt or brew for the tests: package.sh WHAT OTHERWISE PACKAGE… WHAT is said, OTHERWISE is what to do
# where that cannot be done. Nothing of them is left running.
set -eu
what=$1 otherwise=$2
shift 2
echo "No $what found: installing, for the tests."
if command -v apt-get >/dev/null 2>&1; then
  run=""
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "Installing $what needs root: run 'apt-get install $*' as root, or $otherwise." >&2; exit 1; }
    run=sudo
  fi
  $run apt-get update -q
  # A package would otherwise start a service of its own: this says that none may be started, and goes again.
  policy=/usr/sbin/policy-rc.d
  made=""
  if [ ! -e $policy ]; then
    made=$policy
    printf '#!/bin/sh\nexit 101\n' | $run tee $policy >/dev/null
    $run chmod 755 $policy
  fi
  done=0
  $run env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" || done=$?
  [ -z "$made" ] || $run rm -f "$made"
  exit "$done"
elif command -v brew >/dev/null 2>&1; then
  brew install "$@"
else
  echo "Neither apt-get nor brew is here. Install $what, or $otherwise." >&2
  exit 1
fi
