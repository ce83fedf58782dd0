#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
if [ "$1" = purge ]; then
  echo "Aurora Locus: /var/lib/locus stays. It has the master key and perhaps files and a database: delete it yourself."
fi
