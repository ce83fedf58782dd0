#!/usr/bin/env bash
# The lexicon catalogue and the types made from it.
#   lexicons.sh           fetch the pinned package, write both
#   lexicons.sh --check   write nothing, fail on drift; without the npm registry (or npm) the catalogue is
#                         checked against the digest in its own header, and the types against the catalogue
set -euo pipefail
cd "$(dirname "$0")/../.."
package=@atproto/api
version=0.21.0

lexgen() { ${GO:-go} run ./internal/gen/lexgen "$@"; }
check=
[ "${1:-}" = --check ] && check=-check

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
if (cd "$tmp" && npm pack --silent "$package@$version" >/dev/null 2>"$tmp/npm.log"); then
  tar -xzf "$tmp"/*.tgz -C "$tmp" package/dist/client/lexicons.js
  lexgen catalogue -source "$tmp/package/dist/client/lexicons.js" -version "$version" $check
elif [ -n "$check" ]; then
  echo "lexicons: npm gives no $package@$version, checking the catalogue against its own digest" >&2
  lexgen verify -version "$version"
else
  cat "$tmp/npm.log" >&2
  exit 1
fi
lexgen types $check
