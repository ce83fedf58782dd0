#!/usr/bin/env bash
# The lexicon catalogue and the types made from it.
# Our own documents are the files in internal/lexicon/own; the catalogue has them behind the package's.
#   lexicons.sh           fetch the pinned package, write both
#   lexicons.sh --check   write nothing, fail on drift
# Without npm or its registry the catalogue stays and is checked against the pinned version and the digest in
# its own header; the types need the catalogue only.
set -euo pipefail
cd "$(dirname "$0")/../.."
package=@atproto/api
version=0.21.0

lexgen() { ${GO:-go} run ./internal/gen/lexgen "$@"; }
check=
[ "${1:-}" = --check ] && check=-check

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
if (cd "$tmp" && npm pack --silent "$package@$version" >/dev/null 2>&1); then
  tar -xzf "$tmp"/*.tgz -C "$tmp" package/dist/client/lexicons.js
  lexgen catalogue -source "$tmp/package/dist/client/lexicons.js" -version "$version" $check
else
  echo "lexicons: npm gives no $package@$version, checking the catalogue against its own digest" >&2
  lexgen verify -version "$version"
  lexgen own $check
fi
lexgen types $check
lexgen views $check
