#!/usr/bin/env bash
# Generates db/controldb and db/tenantdb from schema/ and queries/. Run it from anywhere in the repository.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Two runs at once would write the same files (macOS has no flock; there they just both write).
if command -v flock >/dev/null; then
  mkdir -p .cache
  exec 9>.cache/sqlc.lock
  flock 9
fi
go run ./internal/gen/sqlc
