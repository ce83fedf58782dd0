// Command pdsbench loads any AT Protocol PDS, named by its URL, and reports throughput, latency and what an operation costs the server
// in CPU time and memory.
//
// It usually shares the machine with the server it measures, so it is made to be cheap: one HTTP/1.1 connection per client, requests
// encoded before the run, answers counted and not parsed. Its own CPU time is reported beside the server's.
//
//	pdsbench create-record --url http://localhost:2583 --concurrency 1,16,64 --accounts 64 --duration 10s --pids 4711 --out results/ours
//	pdsbench compare results/reference results/ours --names reference,locus
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Run      runCmd      `cmd:"" default:"withargs" help:"Run a workload against a PDS (the default command)."`
	Upstream upstreamCmd `cmd:"" help:"Serve the stand-in that proxied calls end at, on loopback."`
	Compare  compareCmd  `cmd:"" help:"Compare two result files or folders as a Markdown table."`
}

func main() {
	// The answers that are read during a run are small and short-lived; collecting less often leaves more of the machine to the server.
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var c cli
	parser, err := kong.New(&c,
		kong.Name("pdsbench"),
		kong.Description("A load generator for AT Protocol personal data servers."),
		kong.Vars{"workloads": workloadNames(), "workload_help": workloadHelp()},
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pdsbench:", err)
		os.Exit(2)
	}
	k, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "pdsbench:", err)
		os.Exit(1)
	}
}
