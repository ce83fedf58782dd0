#!/bin/sh
# Says clearly what is missing when there is no Go that can build this project.
want=$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' "$(dirname "$0")/../../go.mod")
if ! command -v go >/dev/null 2>&1; then
  echo "Go $want or newer is needed and no 'go' is in PATH: https://go.dev/doc/install" >&2
  exit 1
fi
have=$(go env GOVERSION 2>/dev/null | sed 's/^go\([0-9]*\.[0-9]*\).*/\1/')
major=${have%%.*} minor=${have#*.}
if [ "$major" -lt "${want%%.*}" ] || { [ "$major" -eq "${want%%.*}" ] && [ "$minor" -lt "${want#*.}" ]; }; then
  case "$(go env GOTOOLCHAIN 2>/dev/null)" in
    local) echo "Go $want or newer is needed; this is go$have and GOTOOLCHAIN=local keeps it from fetching a newer one." >&2; exit 1 ;;
    "") echo "Go $want or newer is needed; this is go$have: https://go.dev/doc/install" >&2; exit 1 ;;
  esac
fi
