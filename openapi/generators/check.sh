#!/usr/bin/env bash
# Lints openapi.yaml, has two generators that we did not choose make clients of it, compiles them, and lets each sign in and write a record on
# the server that LOCUS_URL names. What is made stays out of git.
set -euo pipefail
cd "$(dirname "$0")"
GO=${GO:-go}

$GO tool ogen --config ogen.yml --target api --package api --clean ../openapi.yaml 2>build.log || { cat build.log >&2; exit 1; }
rm -f build.log
$GO run .

# shellcheck source=internal/gen/npm.sh
. ../../internal/gen/npm.sh
if ! npm_packages .; then
  echo "generators: openapi-ts and the linters are left out" >&2
  exit 0
fi
bin=$PWD/node_modules/.bin
REDOCLY_TELEMETRY=off "$bin/redocly" lint ../openapi.yaml >build.log 2>&1 || { cat build.log >&2; exit 1; }
if grep -qE '[0-9] warning' build.log; then cat build.log >&2; exit 1; fi
rm -f build.log
(cd .. && "$bin/spectral" lint --ruleset .spectral.yaml --fail-severity hint openapi.yaml)
(cd .. && "$bin/spectral" lint --ruleset .spectral.yaml --fail-severity hint operator.yaml)
REDOCLY_TELEMETRY=off "$bin/redocly" lint ../operator.yaml >build.log 2>&1 || { cat build.log >&2; exit 1; }
if grep -qE '[0-9] warning' build.log; then cat build.log >&2; exit 1; fi
rm -f build.log
rm -rf build
"$bin/openapi-ts" -f openapi-ts.config.mjs >/dev/null
"$bin/tsc"
node build/js/hey.js
