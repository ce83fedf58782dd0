#!/bin/sh
set -e
# Called with "configure" and the version that was there before, if one was; otherwise something was undone.
[ "$1" = configure ] || exit 0
if ! getent passwd locus >/dev/null; then
  adduser --system --group --home /var/lib/locus --no-create-home --gecos "Aurora Locus" locus
fi
install -d -o locus -g locus -m 0750 /var/lib/locus
chgrp locus /etc/locus/locus.yaml
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
if [ -z "$2" ]; then
  echo "Aurora Locus: set /etc/locus/locus.yaml, then 'systemctl enable --now locus'."
elif [ -d /run/systemd/system ] && systemctl --quiet is-active locus.service; then
  # The new program goes on. It waits for a database that is away for as long as it takes; the package manager does not.
  timeout 90 systemctl restart locus.service ||
    echo "Aurora Locus: the service does not serve yet. 'systemctl status locus' and 'journalctl -u locus' say why." >&2
fi
