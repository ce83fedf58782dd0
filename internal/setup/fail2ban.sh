#!/bin/sh
# Installs fail2ban with apt where there is none, so that the tests can hold the filter in deploy/ against the program itself.
# They do without where it cannot be had.
set -eu
if [ "$(uname)" != Linux ] || command -v fail2ban-regex >/dev/null 2>&1; then exit 0; fi
sh "$(dirname "$0")/package.sh" fail2ban "do without" fail2ban || echo "There is no fail2ban: the filter is not held against it." >&2
