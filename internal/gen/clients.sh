#!/usr/bin/env bash
# The client SDKs in openapi/clients, made from openapi/openapi.yaml.
#   clients.sh           write both
#   clients.sh --check   write nothing, fail on drift
# The TypeScript one needs node and npm; where they or the registry are missing, its types are only checked to name the document's digest.
set -euo pipefail
cd "$(dirname "$0")/../.."
check=${1:-}
[ -z "$check" ] || [ "$check" = --check ] || { echo "usage: clients.sh [--check]" >&2; exit 2; }
clients=openapi/clients

# ---- Go
oapi() { ${GO:-go} tool -modfile=tools/go.mod oapi-codegen -config $clients/go/oapi-codegen.yaml -o "$1" openapi/openapi.yaml; }
oapi_operator() { ${GO:-go} tool -modfile=tools/go.mod oapi-codegen -config $clients/go/operator/oapi-codegen.yaml -o "$1" openapi/operator.yaml; }
if [ -n "$check" ]; then
  tmp=$(mktemp -d)
  trap 'rm -rf "$tmp"' EXIT
  oapi "$tmp/client.gen.go"
  oapi_operator "$tmp/operator.gen.go"
  cmp -s "$tmp/operator.gen.go" $clients/go/operator/client.gen.go || { echo "$clients/go/operator/client.gen.go is not what operator.yaml gives: run 'make generate' and commit" >&2; exit 1; }
  cmp -s "$tmp/client.gen.go" $clients/go/client.gen.go || { echo "$clients/go/client.gen.go is not what openapi.yaml gives: run 'make generate' and commit" >&2; exit 1; }
else
  oapi $clients/go/client.gen.go
  oapi_operator $clients/go/operator/client.gen.go
fi

# ---- the names of errors, for both
${GO:-go} run ./internal/gen/errgen ${check:+-check}

# ---- TypeScript
# shellcheck source=internal/gen/npm.sh
. internal/gen/npm.sh
if npm_packages $clients/typescript; then
  (cd $clients/typescript && node generate.mjs $check && node lexicons.mjs $check)
else
  catalogue=$( (sha256sum internal/lexicon/catalogue.jsonl 2>/dev/null || shasum -a 256 internal/lexicon/catalogue.jsonl) | cut -d ' ' -f 1)
  if ! grep -q "sha256 $catalogue" $clients/typescript/src/lexicons.ts; then
    echo "clients: $clients/typescript/src/lexicons.ts is of another catalogue, and making it needs node" >&2
    exit 1
  fi
  digest=$( (sha256sum openapi/operator.yaml 2>/dev/null || shasum -a 256 openapi/operator.yaml) | cut -d ' ' -f 1)
  if ! grep -q "sha256 $digest" $clients/typescript/src/operator-schema.ts; then
    echo "clients: $clients/typescript/src/operator-schema.ts is of another operator.yaml, and making it needs node and npm" >&2
    exit 1
  fi
  digest=$( (sha256sum openapi/openapi.yaml 2>/dev/null || shasum -a 256 openapi/openapi.yaml) | cut -d ' ' -f 1)
  if grep -q "sha256 $digest" $clients/typescript/src/schema.ts; then
    echo "clients: without npm the TypeScript types are left as they are; they name this openapi.yaml" >&2
  else
    echo "clients: $clients/typescript/src/schema.ts is of another openapi.yaml, and making it needs node and npm" >&2
    exit 1
  fi
fi
