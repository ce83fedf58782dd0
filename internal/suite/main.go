// Command suite drives a server with clients that others wrote, and its pages with real browsers: sign-in, consent, writes, refresh
// and revocation by OAuth on two tenants, each page with and without script, and what it finds wrong it says line by line.
//
// It is a tool beside the server. All of it happens in a small internet of its own (a network and a mount namespace): hosts with
// names, https on port 443, a directory of DIDs, a name server and mail, so that clients and server need no special mode. It
// listens nowhere else and can reach nothing else.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

const usage = `suite drives a server with OAuth clients that others wrote, and its pages with real browsers.

  go run ./internal/suite [flags] [driver ...]

Without drivers all are run. Each prints a line for everything that it tried: ok or FAIL. It ends with status 1 when
something failed, and says which drivers it left out, and why; with 3 where the system gives no namespaces.

Needs Linux, node and npm (packages are pinned in internal/suite/node/package-lock.json), and what "make setup" installs.
Browsers are Debian's: apt-get install chromium firefox-esr.

Flags:
`

// options are the flags.
type options struct {
	locus     string
	reference string
	node      string
	shots     string
	keep      bool
	shell     bool
	quick     bool
	bench     bool
	seconds   int
	only      []string
}

func main() {
	var o options
	flag.StringVar(&o.locus, "locus", "", "the server's `program`; without it ./cmd/locus is built")
	flag.StringVar(&o.reference, "reference", "", "drive the reference PDS instead, installed in this `folder` by \"make bench-reference ARGS='--only install'\"")
	flag.StringVar(&o.node, "node", "", "the node `program`; without it the one among the packages, or of PATH")
	flag.StringVar(&o.shots, "shots", ".cache/shots", "`folder` for pictures of the pages")
	flag.BoolVar(&o.keep, "keep", false, "keep the folder with the logs of the servers")
	flag.BoolVar(&o.quick, "quick", false, "one language, one width and one colour scheme of each page, for CI")
	flag.BoolVar(&o.bench, "bench", false, "drive nothing: measure sign-ins, refreshes and calls of OAuth, beside the reference where -reference says where it is")
	flag.IntVar(&o.seconds, "seconds", 6, "measure each operation for so many `seconds`")
	flag.BoolVar(&o.shell, "shell", false, "run a shell in the small internet instead of the drivers")
	flag.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flag.PrintDefaults()
		fmt.Fprint(os.Stderr, "\nDrivers:\n")
		for _, d := range drivers {
			fmt.Fprintf(os.Stderr, "  %-12s %s\n", d.name, d.what)
		}
	}
	flag.Parse()
	o.only = flag.Args()
	for _, name := range o.only {
		if !slices.ContainsFunc(drivers, func(d driver) bool { return d.name == name }) {
			fmt.Fprintf(os.Stderr, "suite: no driver is called %q\n", name)
			os.Exit(2)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := run(ctx, o)
	stop()
	switch {
	case errors.Is(err, errNoWorld):
		fmt.Fprintln(os.Stderr, "suite:", err)
		os.Exit(3)
	case err != nil:
		fmt.Fprintln(os.Stderr, "suite:", err)
		os.Exit(2)
	case failed > 0:
		os.Exit(1)
	}
}

// run prepares outside, where packages can be had, and drives inside.
func run(ctx context.Context, o options) (failed int, err error) {
	if !inside() {
		return prepare(ctx, o)
	}
	if err := arrive(); err != nil {
		return 0, fmt.Errorf("make the small internet: %w", err)
	}
	if o.bench {
		return 0, compareBench(ctx, o)
	}
	w, err := build(ctx, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if o.shell {
		return 0, w.shell(ctx)
	}
	begun := time.Now()
	passed := 0
	var left []string
	for _, d := range drivers {
		if len(o.only) > 0 && !slices.Contains(o.only, d.name) || ctx.Err() != nil {
			continue
		}
		if why := d.missing(w); why != "" {
			left = append(left, d.name+" ("+why+")")
			continue
		}
		p, f := w.drive(ctx, d)
		passed, failed = passed+p, failed+f
	}
	fmt.Printf("\n%s: %.0f s\n", w.name, time.Since(begun).Seconds())
	if len(left) > 0 {
		fmt.Println("left out: " + strings.Join(left, ", "))
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	return failed, ctx.Err()
}
