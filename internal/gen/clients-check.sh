#!/usr/bin/env bash
# Compiles the client SDKs and drives a server of its own with them: `locus serve --dev` on a free port, in a folder that is removed again.
# LOCUS_URL uses a running server instead (for the Go client several, separated by spaces).
set -euo pipefail
cd "$(dirname "$0")/../.."
GO=${GO:-go}
clients=openapi/clients
scratch='' server=''
cleanup() {
  if [ -n "$server" ]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  [ -z "$scratch" ] || rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if [ -z "${LOCUS_URL:-}" ]; then
  scratch=$(mktemp -d)
  chmod 755 "$scratch" # its Postgres may run as another user
  $GO build -o "$scratch/locus" ./cmd/locus
  # 127.0.0.1:0 would do, but then the tenants' URLs could not be known beforehand.
  for try in 1 2 3 4 5; do
    port=$((20000 + (RANDOM + try) % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  "$scratch/locus" serve --dev --listen "127.0.0.1:$port" --operator-listen "127.0.0.1:$((port + 12000))" --plc-listen 127.0.0.1:0 --data-dir "$scratch/data" >"$scratch/log" 2>&1 &
  server=$!
  LOCUS_URL="http://localhost:$port http://beta.localhost:$port"
  for _ in $(seq 1 300); do
    curl -fsS -o /dev/null "http://localhost:$port/xrpc/_health" 2>/dev/null && break
    kill -0 $server 2>/dev/null || { cat "$scratch/log" >&2; echo "clients: the server ended while starting" >&2; exit 1; }
    sleep 0.1
  done
  LOCUS_OPERATOR_URL="http://127.0.0.1:$((port + 12000))"
  LOCUS_OPERATOR_TOKEN=$("$scratch/locus" token create owner --label "client SDKs" --data-dir "$scratch/data" 2>>"$scratch/log")
  export LOCUS_OPERATOR_URL LOCUS_OPERATOR_TOKEN
fi
export LOCUS_URL

# readme FOLDER LANGUAGE prints the program of its README, for the server that is running.
readme() { awk -v fence="\`\`\`$2" '$0 == fence {on = 1; next} /^```/ {on = 0} on' "$clients/$1/README.md" | sed "s|http://localhost:2583|${LOCUS_URL%% *}|"; }

echo "clients: Go, against $LOCUS_URL"
if ! $GO test -count=1 -tags live ./$clients/go; then
  [ -z "$scratch" ] || tail -n 40 "$scratch/log" >&2
  exit 1
fi
if [ -n "$scratch" ]; then # where alice.test is
  readme go go >"$scratch/readme.go"
  $GO run "$scratch/readme.go"
fi
# shellcheck source=internal/gen/npm.sh
. internal/gen/npm.sh
if npm_packages $clients/typescript; then
  LOCUS_URL=${LOCUS_URL%% *}
  (cd $clients/typescript && rm -rf build)
  echo "clients: TypeScript, against $LOCUS_URL"
  if ! (cd $clients/typescript && npm run --silent test 2>&1); then
    [ -z "$scratch" ] || tail -n 40 "$scratch/log" >&2
    exit 1
  fi
  if [ -n "$scratch" ]; then
    # As somebody would have it who installs the package: packed, unpacked, and imported by its name.
    (cd $clients/typescript && npm pack --silent --pack-destination "$scratch" >/dev/null)
    mkdir -p "$scratch/node_modules/@auroralocus"
    tar -xzf "$scratch"/auroralocus-client-*.tgz -C "$scratch" && mv "$scratch/package" "$scratch/node_modules/@auroralocus/client"
    cp -r $clients/typescript/node_modules/openapi-fetch $clients/typescript/node_modules/openapi-typescript-helpers "$scratch/node_modules/"
    readme typescript ts >"$scratch/readme.mjs"
    node "$scratch/readme.mjs"
  fi
else
  echo "clients: the TypeScript client is left out" >&2
fi
echo "clients: of generators that we did not choose"
if ! LOCUS_URL=${LOCUS_URL%% *} bash openapi/generators/check.sh; then
  [ -z "$scratch" ] || tail -n 40 "$scratch/log" >&2
  exit 1
fi
