#!/usr/bin/env bash
# Puts Redoc, which shows the documentation at /docs, and its licenses into openapi/docs. Run it to take another version.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=2.5.4
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
(cd "$tmp" && npm pack --silent "redoc@$version" >/dev/null)
tar -xzf "$tmp"/*.tgz -C "$tmp"
# Two things would be asked of other hosts: its logo, and the map for its debuggers.
sed -e '/^\/\/# sourceMappingURL/d' -e 's|https://cdn.redoc.ly/redoc/logo-mini.svg|data:,|' "$tmp/package/bundles/redoc.standalone.js" >openapi/docs/redoc.standalone.js
cp "$tmp/package/LICENSE" openapi/docs/redoc.LICENSE.txt
cp "$tmp/package/bundles/redoc.standalone.js.LICENSE.txt" openapi/docs/
