#!/bin/sh
# Makes sure that the tests can hold the filter in deploy/ against fail2ban: installs it with apt or brew when there is none.
set -eu
if command -v fail2ban-regex >/dev/null 2>&1; then exit 0; fi
sh "$(dirname "$0")/package.sh" fail2ban "put fail2ban-regex into PATH" fail2ban
