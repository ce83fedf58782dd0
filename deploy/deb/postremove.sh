#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
if [ "$1" = purge ]; then
  echo "Aurora Locus: what is left in /var/lib/locus and /etc/locus stays: the master key, perhaps files, a database and secrets. Delete it yourself, and the user locus."
fi
