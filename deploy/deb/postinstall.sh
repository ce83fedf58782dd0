#!/bin/sh
set -e
if ! getent passwd locus >/dev/null; then
  adduser --system --group --home /var/lib/locus --no-create-home --gecos "Aurora Locus" locus
fi
install -d -o locus -g locus -m 0750 /var/lib/locus
chgrp locus /etc/locus/locus.yaml
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  # An upgrade goes on with the new program. A new service waits until it has been configured.
  if [ -n "$2" ]; then systemctl try-restart locus.service; fi
fi
if [ -z "$2" ]; then
  echo "Aurora Locus: set /etc/locus/locus.yaml, then 'systemctl enable --now locus'."
fi
