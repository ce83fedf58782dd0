// Command scale fills a database with thousands of tenants, and measures what a server on it costs.
//
//	go run ./internal/scale -dir /var/tmp/scale fill -tenants 10000 -accounts 10
//	go run ./internal/scale -dir /var/tmp/scale measure
//	go run ./internal/scale -dir /var/tmp/scale measure -neighbours -load exports
//	go run ./internal/scale -dir /var/tmp/scale measure -only making -active 1500
//
// fill goes on where it ended. measure starts the server itself; docs/scale.md says what its lines mean. -neighbours
// measures only what one tenant's load does to another's calls; two tenants are enough for it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/auroralocus/locus/internal/tenant"
)

func main() {
	dir := flag.String("dir", "", "folder of the database")
	locus := flag.String("locus", "", "the server's program; it is built without")
	flag.IntVar(&port, "port", port, "the port in the tenants' DIDs: what fill was told")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *locus, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "scale: %v\n", err)
		os.Exit(1)
	}
}

func numbers(list string) (out []int, err error) {
	for _, word := range strings.Split(list, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-at takes numbers above 0 with commas between, not %q", word)
		}
		out = append(out, n)
	}
	return out, nil
}

func run(ctx context.Context, dir, locus string, args []string) error {
	if dir == "" || len(args) == 0 {
		return fmt.Errorf("usage: scale -dir FOLDER fill|measure [flags]")
	}
	flags := flag.NewFlagSet(args[0], flag.ExitOnError)
	switch args[0] {
	case "fill":
		tenants := flags.Int("tenants", 10000, "how many in all")
		accounts := flags.Int("accounts", 10, "of each tenant")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return fill(ctx, dir, *tenants, *accounts)
	case "measure":
		span := flags.Duration("span", 15*time.Second, "how long each rate is measured")
		idle := flags.Duration("idle", time.Minute, "how long the idle server is watched")
		subscribers := flags.Int("subscribers", 10000, "idle subscribers, each of another tenant")
		active := flags.Int("active", 4000, "how many tenants are active at once at most")
		at := flags.String("at", "10,500,1000,4000", "how many tenants are active where rates are measured, as far as -active goes")
		only := flags.String("only", "", "measure only this: idle, subscribers, active, making (what making tenants costs the writers of those that are active, by -active), dump or crash")
		pace := flags.Duration("pace", 500*time.Millisecond, "how far apart tenants are made while others are written to")
		spares := flags.Int("spares", 64, "with -only making: how many schemas there are to be for tenants to come, if half of them are gone")
		sparesApart := flags.Duration("spares-apart", tenant.SparesApart, "with -only making: how far apart they are made, for each active tenant")
		var n neighbours
		n.flags(flags)
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if err := n.check(); err != nil {
			return err
		}
		steps, err := numbers(*at)
		if err != nil {
			return err
		}
		return measure(ctx, dir, locus, plan{at: steps, span: *span, idle: *idle, subscribers: *subscribers, active: *active, neighbours: n, only: *only, pace: *pace, spares: *spares, sparesApart: *sparesApart})
	case "load": // what measure starts beside itself
		return loadProgram(ctx)
	}
	return fmt.Errorf("no such command: %s", args[0])
}
