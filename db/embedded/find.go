package embedded

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Exists tells whether a database was made under dir.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "pgdata", "PG_VERSION"))
	return !errors.Is(err, fs.ErrNotExist)
}

// Find gives the URL of the private Postgres that another process runs on the folder, if one does: an operator's
// command beside a running server uses it.
func Find(dir string) (string, bool) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", false
	}
	data := filepath.Join(dir, "pgdata")
	// Lines of postmaster.pid: process id, data folder, start time, port, socket folder, …
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return "", false
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 5 {
		return "", false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || !slices.Contains(running(pid, data), pid) {
		return "", false
	}
	return socketURL(strings.TrimSpace(lines[4])), true
}

// socketURL connects to the server whose socket lies in folder, as its superuser.
func socketURL(folder string) string {
	return (&url.URL{Scheme: "postgres", User: url.User(user), Path: "/" + database,
		RawQuery: url.Values{"host": {folder}, "port": {"5432"}}.Encode()}).String()
}
