// Command proxying makes the same requests to this server and to the reference (@atproto/pds), which both hand them on to a service that
// verifies their tokens with @atproto/xrpc-server, and says in what the calls that the service saw and the answers that the client got
// differ. Every difference has a reason in reasons.go; one without a reason, and a reason without a difference, is an error.
//
//	go run ./internal/bench/proxying                  ours beside what the reference did when it was last asked (testdata/reference.json)
//	make compare-reference                            both, as they are now
//	make compare-reference ARGS=-record               and keeps what the reference does
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sync/errgroup"
)

type options struct {
	binary, reference, node string
	record, all             bool
	dump                    string
}

func main() {
	var o options
	flag.StringVar(&o.binary, "locus", "", "our `program`; without it ./cmd/locus is built")
	flag.StringVar(&o.reference, "reference", "", "`folder` where internal/bench/reference.sh has installed the reference; without it what it did before counts")
	flag.StringVar(&o.node, "node", "node", "`program` that runs the reference")
	flag.BoolVar(&o.record, "record", false, "keep what the reference does (wants -reference)")
	flag.BoolVar(&o.all, "all", false, "show known differences, too")
	flag.StringVar(&o.dump, "dump", "", "write what ours did to a `file`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	good, err := run(ctx, o)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "proxying:", err)
		os.Exit(2)
	case !good:
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (bool, error) {
	_, file, _, _ := runtime.Caller(0)
	here := filepath.Dir(file)
	kept := filepath.Join(here, "testdata", "reference.json")
	if o.record && o.reference == "" {
		return false, errors.New("-record wants -reference")
	}
	list := requests()
	var reference, ours recorded
	g, both := errgroup.WithContext(ctx)
	if o.reference == "" {
		var err error
		if reference, err = load(kept); err != nil {
			return false, err
		}
	} else {
		g.Go(func() (err error) {
			s, err := startReference(both, o.reference, o.node, here)
			if err != nil {
				return err
			}
			reference, err = s.play(both, list)
			return err
		})
	}
	g.Go(func() (err error) {
		s, err := startOurs(both, o.binary, here)
		if err != nil {
			return err
		}
		ours, err = s.play(both, list)
		return err
	})
	if err := g.Wait(); err != nil {
		return false, err
	}
	if o.record {
		if err := reference.save(kept); err != nil {
			return false, err
		}
	}
	if o.dump != "" {
		if err := ours.save(o.dump); err != nil {
			return false, err
		}
	}
	fmt.Printf("%d requests to each server\n", len(list))
	verified := unverified(os.Stdout, list, ours)
	return judge(os.Stdout, differences(list, reference, ours), reasons, o.all) && verified, nil
}

// play makes all requests, and ends the server.
func (s *server) play(ctx context.Context, list []request) (out recorded, err error) {
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.enrol(ctx); err != nil {
		return nil, err
	}
	out = recorded{}
	for _, r := range list {
		if _, twice := out[r.name]; twice {
			return nil, fmt.Errorf("two requests are called %q", r.name)
		}
		do := (*server).send
		if r.more != nil {
			do = func(s *server, ctx context.Context, r request) (fields, error) { return r.more(ctx, s) }
		}
		if out[r.name], err = do(s, ctx, r); err != nil {
			return nil, err
		}
	}
	return out, nil
}
