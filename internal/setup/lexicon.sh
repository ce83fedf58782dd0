#!/bin/sh
# Makes sure that lexicon and PowerDNS are here, with which CI has a wildcard certificate made; Debian only.
set -eu
missing=""
command -v lexicon >/dev/null 2>&1 || missing="$missing lexicon"
[ -x /usr/sbin/pdns_server ] || missing="$missing pdns-server"
ls /usr/lib/*/pdns/liblmdbbackend.so >/dev/null 2>&1 || missing="$missing pdns-backend-lmdb"
[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null 2>&1 || exit 1
# shellcheck disable=SC2086 # names without spaces
sh "$(dirname "$0")/package.sh" "DNS provider ($missing )" "put the programs into PATH" $missing
