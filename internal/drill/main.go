// Command drill lives a tenant's whole life on two servers and two databases, under load, while a relay listens.
//
// It builds the server, starts two Postgres and two processes with a balancer in front, and does by commands what an operator
// does: create, back up, restore after damage, move, rename, suspend, resume, delete. After each step it checks every
// repository, and that all writes that were acknowledged are there. A consumer of the stream judges each event by the relay's own
// rules throughout.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	locus := flag.String("locus", "", "the server's program; it is built without")
	keep := flag.Bool("keep", false, "keep the folder with logs and databases")
	accounts := flag.Int("accounts", 6, "accounts of the tenant, one writer each")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *locus, *accounts, *keep); err != nil {
		fmt.Fprintf(os.Stderr, "drill: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, locus string, accounts int, keep bool) (err error) {
	began := time.Now()
	w, err := build(ctx, locus)
	if w != nil {
		defer func() {
			w.close()
			if keep || err != nil {
				fmt.Printf("logs and databases are in %s\n", w.dir)
				return
			}
			if removeErr := os.RemoveAll(w.dir); err == nil {
				err = removeErr
			}
		}()
	}
	if err != nil {
		return err
	}
	fmt.Printf("%6.1f s  two databases, two servers and a directory of DIDs are up\n", time.Since(began).Seconds())
	d := &drill{world: w, began: time.Now(), accounts: accounts}
	return d.play(ctx)
}
