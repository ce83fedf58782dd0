# Sourced. npm_packages FOLDER installs what its package-lock.json names, once; fails when node, npm or the registry is not there.
npm_packages() {
  command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || { echo "npm: node or npm is not installed" >&2; return 1; }
  if cmp -s "$1/package-lock.json" "$1/node_modules/.installed-lock.json"; then return 0; fi
  (cd "$1" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2) || { echo "npm: nothing was installed in $1" >&2; return 1; }
  cp "$1/package-lock.json" "$1/node_modules/.installed-lock.json"
}
