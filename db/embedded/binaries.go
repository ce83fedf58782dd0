package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MinVersion is the oldest major version of Postgres that is used.
const MinVersion = 15

// ErrNoBinaries means that no usable Postgres installation was found.
var ErrNoBinaries = errors.New("no Postgres server binaries found")

// Binaries is an installation of Postgres.
type Binaries struct {
	Dir     string // holds initdb and postgres
	Version int    // major
}

// FindBinaries looks for initdb and postgres: LOCUS_PG_BIN, PATH, then where Debian, Homebrew and others put them,
// newest first. What LOCUS_PG_BIN names must be usable: falling through would hide the mistake.
func FindBinaries(ctx context.Context) (Binaries, error) {
	if dir := os.Getenv("LOCUS_PG_BIN"); dir != "" {
		b, err := inspect(ctx, dir)
		if err != nil {
			return Binaries{}, fmt.Errorf("LOCUS_PG_BIN: %w", err)
		}
		return b, nil
	}
	var tooOld []string
	for _, dir := range candidates() {
		b, err := inspect(ctx, dir)
		if err == nil {
			return b, nil
		}
		if ctx.Err() != nil { // nobody waits for the answer: it says nothing about the binaries
			return Binaries{}, ctx.Err()
		}
		if b.Version != 0 {
			tooOld = append(tooOld, err.Error())
		}
	}
	hint := "install it (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17), " +
		"or set LOCUS_PG_BIN to a folder with initdb and postgres, or LOCUS_DATABASE_URL to a running server"
	if len(tooOld) > 0 {
		hint = strings.Join(tooOld, "; ") + "; " + hint
	}
	return Binaries{}, fmt.Errorf("%w: %s", ErrNoBinaries, hint)
}

func candidates() []string {
	var dirs []string
	if p, err := exec.LookPath("postgres"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			dirs = append(dirs, filepath.Dir(p))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                   // the PostgreSQL project's RPMs
		"/opt/homebrew/opt/postgresql@*/bin", // Homebrew on Apple silicon
		"/usr/local/opt/postgresql@*/bin",    // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/usr/local/pgsql/bin", // built from source
		"/usr/libexec/postgresql*",
	} {
		found, _ := filepath.Glob(pattern)
		slices.SortFunc(found, func(a, b string) int { return lastNumber(b) - lastNumber(a) })
		dirs = append(dirs, found...)
	}
	return dirs
}

var digits = regexp.MustCompile(`[0-9]+`)

func lastNumber(path string) int {
	all := digits.FindAllString(path, -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(all[len(all)-1])
	return n
}

// inspect asks the binaries in dir for their version. A too old one is an error with a Version.
func inspect(ctx context.Context, dir string) (Binaries, error) {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return Binaries{}, fmt.Errorf("%s: %w", filepath.Join(dir, name), errors.Unwrap(err))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version")
	cmd.Env = environment(dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return Binaries{}, fmt.Errorf("%s --version: %w: %s", cmd.Path, err, bytes.TrimSpace(out))
	}
	b := Binaries{Dir: dir}
	b.Version, err = strconv.Atoi(digits.FindString(string(out))) // "postgres (PostgreSQL) 15.18 (Debian …)"
	if err != nil {
		return Binaries{}, fmt.Errorf("%s --version: unexpected answer %q", cmd.Path, out)
	}
	if b.Version < MinVersion {
		return b, fmt.Errorf("%s is version %d, need %d or later", cmd.Path, b.Version, MinVersion)
	}
	return b, nil
}

// environment is what Postgres runs with: no PG* variables of the caller's shell, messages in English, and, for
// unpacked packages that do not know where they lie, the libraries beside the binaries.
func environment(dir string) []string {
	env := []string{"LC_ALL=C", "PATH=" + dir + ":/usr/local/bin:/usr/bin:/bin", "TZ=UTC"}
	lib := filepath.Join(filepath.Dir(dir), "lib")
	if _, err := os.Stat(lib); err != nil {
		return env
	}
	switch {
	case runtime.GOOS == "darwin":
		return append(env, "DYLD_LIBRARY_PATH="+lib)
	case os.Getenv("LOCUS_PG_BIN") != "":
		return append(env, "LD_LIBRARY_PATH="+lib)
	}
	return env
}
