#!/bin/sh
# Makes sure that the tests can start the proxies that deploy/ has examples for: installs those of apt or brew that are
# missing.
set -eu
missing=""
for name in caddy nginx haproxy; do
  command -v $name >/dev/null 2>&1 || [ -x /usr/sbin/$name ] || missing="$missing $name"
done
[ -n "$missing" ] || exit 0
# shellcheck disable=SC2086 # names without spaces
sh "$(dirname "$0")/package.sh" "proxy ($missing )" "put the programs into PATH" $missing
