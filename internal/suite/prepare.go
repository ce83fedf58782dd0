package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

var errNoWorld = errors.New("this system gives no network namespaces to this user (Linux does to root, and to others where user namespaces are allowed)")

// The programs that prepare leaves in the world's folder, and where the packages are.
const (
	locusProgram  = "locus"
	indigoProgram = "indigo"
	nodeFolder    = "internal/suite/node"
)

// prepare builds what is built and installs what npm has, and enters. Inside there is no way to a registry.
func prepare(ctx context.Context, o options) (failed int, err error) {
	if _, err := os.Stat("internal/suite/node/package.json"); err != nil {
		return 0, errors.New("run it in the folder of go.mod")
	}
	dir, err := os.MkdirTemp("", "locus-suite-")
	if err != nil {
		return 0, err
	}
	keep := o.keep
	defer func() {
		if keep || failed > 0 {
			fmt.Println("logs: " + dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	if err := os.Chmod(dir, 0o755); err != nil { // the private Postgres may run as another user
		return 0, err
	}
	if o.reference == "" || o.locus == "" { // the reference needs its directory of DIDs
		if err := command(ctx, ".", "go", "build", "-o", filepath.Join(dir, locusProgram), "./cmd/locus"); err != nil {
			return 0, err
		}
	}
	if err := command(ctx, "internal/suite/indigo", "go", "build", "-o", filepath.Join(dir, indigoProgram), "."); err != nil {
		fmt.Fprintln(os.Stderr, "suite: the Go client was not built:", err)
	}
	if err := command(ctx, ".", "bash", "-c", ". internal/gen/npm.sh && npm_packages "+nodeFolder); err != nil {
		return 0, fmt.Errorf("install the clients of npm: %w", err)
	}
	err = enter(ctx, dir)
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() == 1 {
		return 1, nil
	}
	keep = keep || err != nil
	return 0, err
}

func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
