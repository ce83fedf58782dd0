// Command attack plays, again and again, what strangers and one tenant may do to a server that others share: it holds
// connections, reads large answers slowly, takes places and keeps them, and tells what that costs the server and another
// tenant. It is a tool beside the server: it starts one on loopback, or is given one that runs there.
//
// A class of attack is a file of its own: a value of type class, and a line in classes.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

// options are the flags.
type options struct {
	binary, addr string
	service      string
	pid          int
	short        bool
	scale        float64
	during       time.Duration
	memory       int64
}

const usage = `attack plays attacks on a server on loopback and says what they cost it and another tenant.

  go run ./internal/attack [flags] [class ...]

Without classes all are played, each alone. Of each it prints, before, during and after: the connections that the server
has open, its memory, and the 99th percentile of another tenant's calls. It ends with status 1 when a bound is broken:
connections that are still open when they should have been closed, memory that grew beyond what the class may take, or a
neighbour that became many times slower than it is when nothing else goes on.

Needs Linux (it reads /proc) and, unless -addr is given, what "make setup" installs.

Flags:
`

func main() {
	var o options
	flag.StringVar(&o.binary, "locus", "", "the server's program; without it ./cmd/locus is built")
	flag.StringVar(&o.addr, "addr", "", "`host:port` of a server that runs already with --dev, on loopback; wants -pid")
	flag.IntVar(&o.pid, "pid", 0, "process `number` of that server")
	flag.StringVar(&o.service, "service", "127.0.0.1:0", "`host:port` for the service that the server hands calls on to; the server at -addr has to know it")
	flag.BoolVar(&o.short, "short", false, "classes that hold connections only, few of each, all at once: under a minute, for CI")
	flag.Float64Var(&o.scale, "scale", 1, "play each class with so many times its usual `number` of clients")
	flag.DurationVar(&o.during, "during", 8*time.Second, "how long the neighbour is watched during an attack")
	flag.Int64Var(&o.memory, "stop-at", 2048, "end the attack when the server has `MiB` of memory: it is not meant to bring the machine down")
	flag.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flag.PrintDefaults()
		fmt.Fprint(os.Stderr, "\nClasses:\n")
		for _, c := range classes {
			fmt.Fprintf(os.Stderr, "  %-12s %s\n", c.name, c.what)
		}
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	broken, err := run(ctx, o, flag.Args(), os.Stdout)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(2)
	case broken:
		os.Exit(1)
	}
}

// round is classes that are played at once.
type round struct {
	name    string
	classes []class
}

func rounds(o options, names []string) ([]round, error) {
	var out []round
	for _, c := range classes {
		if len(names) == 0 || slices.Contains(names, c.name) {
			out = append(out, round{c.name, []class{c}})
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(classes, func(c class) bool { return c.name == name }) {
			return nil, fmt.Errorf("no class %q (--help lists them)", name)
		}
	}
	if o.short {
		all := round{name: "all at once"}
		for _, r := range out {
			if c := r.classes[0]; c.short > 0 {
				c.clients = c.short
				all.classes = append(all.classes, c)
			}
		}
		out = []round{all}
	}
	return out, nil
}

func run(ctx context.Context, o options, names []string, out io.Writer) (broken bool, err error) {
	list, err := rounds(o, names)
	if err != nil {
		return false, err
	}
	began := time.Now()
	f, err := enter(ctx, o)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.leave()) }()
	fmt.Fprintf(out, "server %s is ready after %.0f s\n", f.addr, time.Since(began).Seconds())
	var results []result
	for _, r := range list {
		res, err := f.play(ctx, o, r)
		if err != nil {
			return broken, fmt.Errorf("%s: %w", r.name, err)
		}
		results = append(results, res)
		for _, s := range res.broken {
			fmt.Fprintf(out, "%s: BROKEN: %s\n", r.name, s)
			broken = true
		}
		if res.stopped {
			break // nothing that follows would show anything
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "class\tclients\tconnections\t\t\tMiB\t\t\tneighbour's p99, ms\t\t\t\n\t\tbefore\tduring\tafter\tbefore\tmost\tafter\tbefore\tduring\tafter\t\n")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t%s\n", r.name, r.clients,
			r.open[0], r.open[1], r.open[2], r.memory[0]>>20, r.memory[1]>>20, r.memory[2]>>20, r.p99[0], r.p99[1], r.p99[2], verdict(r))
	}
	if err := w.Flush(); err != nil {
		return broken, err
	}
	fmt.Fprintf(out, "took %.0f s\n", time.Since(began).Seconds())
	return broken, nil
}

func verdict(r result) string {
	if len(r.broken) == 0 {
		return " ok"
	}
	return " BROKEN"
}
