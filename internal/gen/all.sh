#!/usr/bin/env bash
# Generates all that is generated and committed, in the order in which one needs the other.
set -euo pipefail
cd "$(dirname "$0")/../.."
export GOFLAGS="${GOFLAGS:--buildvcs=false}"
bash internal/gen/sqlc.sh
bash internal/gen/lexicons.sh
go test -count=1 ./handlers -run 'TestAccess|TestDocument' -update
go test -count=1 ./internal/admin -run 'TestAccess|TestDocument' -update
go test -count=1 ./internal/web/console -run TestAccess -update
bash internal/gen/clients.sh
