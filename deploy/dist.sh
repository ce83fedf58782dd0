#!/usr/bin/env bash
# make dist: what is given to operators, in dist/. Programs for linux and darwin, amd64 and arm64, without cgo; Debian packages;
# a list of what is in them (CycloneDX); checksums. The same commit gives the same bytes.
#
#   VERSION=1.2.3 make dist          a release; without it the commit's name
#   PLATFORMS=linux/amd64 make dist  only some
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"
VERSION=${VERSION:-0.0.0-dev.$(git rev-parse --short=12 HEAD)$(git diff --quiet HEAD || echo .changed)}
PLATFORMS=${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}
[[ $VERSION =~ ^[0-9]+\.[0-9]+\.[0-9]+([-+][A-Za-z0-9.-]+)?$ ]] || { echo "VERSION is to be like 1.2.3 or 1.2.3-rc1, not $VERSION" >&2; exit 1; }
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
host=$(go env GOOS)/$(go env GOARCH)
tar=tar
command -v gtar >/dev/null && tar=gtar # macOS's own tar knows no --sort
$tar --version 2>/dev/null | grep -q GNU || { echo "GNU tar is missing: on macOS 'brew install gnu-tar'" >&2; exit 1; }

rm -rf dist
mkdir -p dist/.work
build() { # os arch file
  GOOS=$1 GOARCH=$2 go build -ldflags "-s -w -X main.stamp=$VERSION" -o "$3" ./cmd/locus
}
echo "== what every archive holds"
build "${host%/*}" "${host#*/}" dist/.work/locus
[ "$(dist/.work/locus version)" = "locus $VERSION" ]
common=dist/.work/common
mkdir -p $common/completion
cp LICENSE README.md CHANGELOG.md $common/
mkdir $common/docs
cp -r docs/*.md docs/pictures $common/docs/
mkdir $common/deploy # what these pages lead to
cp -r deploy/caddy deploy/citus deploy/docker deploy/fail2ban deploy/grafana deploy/haproxy deploy/helm deploy/nginx deploy/prometheus deploy/systemd $common/deploy/
cp deploy/systemd/locus.service deploy/systemd/locus-backup.service deploy/systemd/locus-backup.timer $common/
export LOCUS_CONFIG=/dev/null
dist/.work/locus man > $common/locus.1
for shell in bash zsh fish; do dist/.work/locus completion $shell > $common/completion/locus.$shell; done
dist/.work/locus config example > $common/locus.example.yaml
packed=dist/.work/packed # as Debian has them
mkdir -p $packed
gzip -n9 < $common/locus.1 > $packed/locus.1.gz
gzip -n9 < CHANGELOG.md > $packed/changelog.gz

for platform in $PLATFORMS; do
  os=${platform%/*} arch=${platform#*/}
  name=locus-$VERSION-$os-$arch
  echo "== $name"
  mkdir -p dist/.work/$name
  cp -r $common/. dist/.work/$name/
  build "$os" "$arch" dist/.work/$name/locus
  $tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -C dist/.work -cf - "$name" | gzip -n9 > "dist/$name.tar.gz"
  go tool -modfile=deploy/tools/go.mod cyclonedx-gomod bin -json -noserial -version "v$VERSION" -output "dist/$name.cdx.json" dist/.work/$name/locus 2> dist/.work/log || { cat dist/.work/log >&2; exit 1; }
  if [ "$os" = linux ]; then
    LOCUS_ARCH=$arch LOCUS_VERSION=$VERSION LOCUS_FILES=dist/.work/$name LOCUS_PACKED=$packed go tool -modfile=deploy/tools/go.mod nfpm package -f deploy/deb/nfpm.yaml -p deb -t "dist/locus_${VERSION}_$arch.deb" | tail -1
  fi
done
rm -rf dist/.work
(cd dist && sha256sum locus* > SHA256SUMS) # not by *: the list itself may be there already
echo "== dist/"
(cd dist && ls -l)
