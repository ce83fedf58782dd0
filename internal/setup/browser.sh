#!/bin/sh
# Makes sure that Chromium and Firefox can be started, for internal/suite: installs Debian's where apt and the right to use it are there.
# Fails when Chromium is missing afterwards; Firefox is not needed by most of it.
set -eu
missing=""
command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || missing="chromium"
command -v firefox-esr >/dev/null 2>&1 || command -v firefox >/dev/null 2>&1 || missing="$missing firefox-esr"
[ -n "$missing" ] || exit 0
run=""
if [ "$(id -u)" -ne 0 ]; then run="sudo -n"; fi
if command -v apt-get >/dev/null 2>&1; then
  for package in $missing; do
    { $run apt-get update -q && $run env DEBIAN_FRONTEND=noninteractive timeout 180 apt-get install -y -q --no-install-recommends "$package"; } >/dev/null 2>&1 || echo "$package could not be installed" >&2
  done
fi
command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || { echo "Chromium is missing: apt-get install chromium" >&2; exit 1; }
