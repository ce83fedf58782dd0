package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// drill is one run.
type drill struct {
	*world
	began    time.Time
	accounts int

	hostname string
	client   *client
	judge    *judged
	people   []*person

	gate         sync.RWMutex // held by whoever must have no write on its way
	acknowledged atomic.Int64
	doubted      atomic.Int64
	refusals     struct {
		sync.Mutex
		by map[string]int
	}
	outages []string
	archive string
	kept    []map[string]string // what was acknowledged before the backup, by person
}

func (d *drill) refused(r *refusal) {
	d.refusals.Lock()
	defer d.refusals.Unlock()
	d.refusals.by[fmt.Sprintf("%d %s", r.status, r.name)]++
}

// play goes through the life of a tenant. Writers write throughout.
func (d *drill) play(ctx context.Context) error {
	d.refusals.by = map[string]int{}
	ctx, cancel := context.WithCancel(ctx)
	var writers sync.WaitGroup
	defer writers.Wait()
	defer cancel()
	for _, step := range []struct {
		name  string
		do    func(context.Context) error
		check bool // that all is well with the repositories
	}{
		{"create the tenant and serve it", d.create, false},
		{"open accounts; writers and the relay begin", func(ctx context.Context) error { return d.open(ctx, &writers) }, true},
		{"back up the whole first database", d.base, true},
		{"kill a server, start another", d.killOne, true},
		{"upgrade to a next version, one server at a time", d.upgrade, true},
		{"back up while it is written to", d.backUp, true},
		{"damage it and restore it", d.restore, true},
		{"damage it and bring back a moment of the past", d.past, true},
		{"fail over the database that it was restored in", func(ctx context.Context) error { return d.failOver(ctx, d.first) }, true},
		{"move it to the other database", d.move, true},
		{"fail over the database that it was moved to", func(ctx context.Context) error { return d.failOver(ctx, d.second) }, true},
		{"rename it", d.rename, true},
		{"suspend it and resume it", d.suspend, true},
		{"delete it and take that back", d.undelete, true},
		{"delete it for good", d.remove, false},
	} {
		began, before := time.Now(), d.acknowledged.Load()
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		took := time.Since(began)
		if step.check {
			if err := d.all(ctx); err != nil {
				return fmt.Errorf("after: %s: %w", step.name, err)
			}
		}
		if err := d.judgeVerdict(); err != nil {
			return fmt.Errorf("after: %s: %w", step.name, err)
		}
		fmt.Printf("%6.1f s  %-45s %5.1f s, %d writes\n", time.Since(d.began).Seconds(), step.name, took.Seconds(), d.acknowledged.Load()-before)
	}
	d.refusals.Lock()
	defer d.refusals.Unlock()
	fmt.Printf("%d writes acknowledged, %d in doubt, refused: %v\n", d.acknowledged.Load(), d.doubted.Load(), d.refusals.by)
	fmt.Println(d.outagesText())
	fmt.Printf("the relay saw %d commits, %d syncs, %d accounts, %d identities on %d connections, and complained of nothing\n",
		d.judge.count("commit"), d.judge.count("sync"), d.judge.count("account"), d.judge.count("identity"), d.judge.count("connected"))
	return nil
}

func (d *drill) judgeVerdict() error {
	if d.judge == nil {
		return nil
	}
	return d.judge.verdict()
}

// all holds the writers, and checks trees, signatures, records and the event chain; what was acknowledged; and that the relay
// knows the newest state of everybody.
func (d *drill) all(ctx context.Context) error {
	d.gate.Lock()
	defer d.gate.Unlock()
	if _, err := d.command(ctx, "repo", "check", d.hostname); err != nil {
		return err
	}
	for _, p := range d.people {
		if err := d.check(ctx, p); err != nil {
			return err
		}
		var head struct{ CID, Rev string }
		if err := d.client.call(ctx, http.MethodGet, "com.atproto.sync.getLatestCommit?did="+p.did, "", nil, &head); err != nil {
			return err
		}
		err := until(ctx, "the relay knows the newest commit of "+p.handle, func() (bool, error) {
			return d.judge.rev(p.did) == head.Rev && d.judge.inactive(p.did) == "", d.judge.verdict()
		})
		if err != nil {
			return fmt.Errorf("%w (it is at %q of %q, status %q)", err, d.judge.rev(p.did), head.Rev, d.judge.inactive(p.did))
		}
	}
	return nil
}

func (d *drill) create(ctx context.Context) error {
	d.hostname = "alpha.localhost"
	if _, err := d.command(ctx, "tenant", "create", d.hostname, "--handle-domain", handles, "signup=open", "rate_limits=off"); err != nil {
		return err
	}
	d.client = newClient(d.front, d.hostname)
	return d.serves(ctx)
}

func (d *drill) serves(ctx context.Context) error {
	return until(ctx, "it is served", func() (bool, error) {
		for range d.nodes { // the balancer asks each in turn
			if err := d.client.call(ctx, http.MethodGet, "com.atproto.server.describeServer", "", nil, nil); err != nil {
				return false, nil
			}
		}
		return true, nil
	})
}

func (d *drill) open(ctx context.Context, writers *sync.WaitGroup) (err error) {
	if d.judge, err = d.startJudge(ctx, d.client.host); err != nil {
		return err
	}
	for i := range d.accounts {
		p, err := d.join(ctx, i)
		if err != nil {
			return err
		}
		d.people = append(d.people, p)
		writers.Go(func() { d.write(ctx, p) })
	}
	return d.some(ctx, 100)
}

// some waits for so many more writes.
func (d *drill) some(ctx context.Context, n int64) error {
	before := d.acknowledged.Load()
	return until(ctx, "people can write", func() (bool, error) { return d.acknowledged.Load() >= before+n, nil })
}

func (d *drill) killOne(ctx context.Context) error {
	dead := d.nodes[0]
	d.nodes = d.nodes[1:]
	dead.kill()
	d.balance()
	if err := d.startNode(ctx); err != nil {
		return err
	}
	return d.some(ctx, 50)
}

func (d *drill) backUp(ctx context.Context) error {
	d.archive = d.path("alpha.archive")
	if err := os.WriteFile(d.path("passphrase"), []byte("a long passphrase of the drill\n"), 0o600); err != nil {
		return err
	}
	d.kept = d.ledger()
	_, err := d.command(ctx, "tenant", "backup", d.hostname, "--output", d.archive, "--passphrase-file", d.path("passphrase"))
	if err != nil {
		return err
	}
	return d.some(ctx, 50)
}

// restore loses what was written since the backup: it may be there or not, and relays must hear of it.
func (d *drill) restore(ctx context.Context) error {
	d.gate.Lock()
	err := d.damage(ctx)
	if err == nil {
		_, err = d.command(ctx, "tenant", "restore", d.archive, "--replace", "--passphrase-file", d.path("passphrase"))
	}
	d.back(d.kept)
	d.gate.Unlock()
	if err != nil {
		return err
	}
	return errors.Join(d.serves(ctx), d.some(ctx, 50))
}

func (d *drill) move(ctx context.Context) error {
	if _, err := d.command(ctx, "node", "add", "second"); err != nil {
		return err
	}
	if _, err := d.command(ctx, "tenant", "move", d.hostname, "--to", "second"); err != nil {
		return err
	}
	return d.some(ctx, 50)
}

func (d *drill) rename(ctx context.Context) error {
	const next = "omega.localhost"
	if _, err := d.command(ctx, "tenant", "rename", d.hostname, next); err != nil {
		return err
	}
	old := d.client
	d.gate.Lock()
	d.hostname, d.client = next, newClient(d.front, next)
	d.gate.Unlock()
	if err := d.judge.rename(d.client.host); err != nil {
		return err
	}
	for _, p := range d.people {
		out, err := d.document(ctx, p.did)
		if err != nil {
			return err
		}
		if want := "http://" + d.client.host; out != want {
			return fmt.Errorf("the DID of %s leads to %s, not to %s", p.handle, out, want)
		}
	}
	if err := old.call(ctx, http.MethodGet, "com.atproto.server.describeServer", "", nil, nil); err != nil {
		return fmt.Errorf("the old name leads nowhere: %w", err)
	}
	return errors.Join(d.serves(ctx), d.some(ctx, 50))
}

func (d *drill) suspend(ctx context.Context) error {
	if _, err := d.command(ctx, "tenant", "suspend", d.hostname, "--reason", "a drill"); err != nil {
		return err
	}
	err := until(ctx, "nobody can write", func() (bool, error) {
		for range d.nodes {
			err := d.client.call(ctx, http.MethodGet, "com.atproto.server.getSession", d.people[0].token, nil, nil)
			if err == nil {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	if _, err := d.command(ctx, "tenant", "resume", d.hostname); err != nil {
		return err
	}
	return errors.Join(d.serves(ctx), d.some(ctx, 50))
}

func (d *drill) undelete(ctx context.Context) error {
	if _, err := d.command(ctx, "tenant", "delete", d.hostname, "--confirm", d.hostname); err != nil {
		return err
	}
	err := until(ctx, "the relay hears that the accounts are deleted", func() (bool, error) {
		for _, p := range d.people {
			if d.judge.inactive(p.did) != "deleted" {
				return false, d.judge.verdict()
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	if _, err := d.command(ctx, "tenant", "undelete", d.hostname); err != nil {
		return err
	}
	return errors.Join(d.serves(ctx), d.some(ctx, 50))
}

func (d *drill) remove(ctx context.Context) error {
	text, err := d.command(ctx, "tenant", "show", d.hostname, "--json")
	if err != nil {
		return err
	}
	if _, err := d.command(ctx, "tenant", "delete", d.hostname, "--confirm", d.hostname); err != nil {
		return err
	}
	if _, err := d.command(ctx, "tenant", "purge", d.hostname, "--confirm", d.hostname); err != nil {
		return err
	}
	if _, err := d.command(ctx, "tenant", "show", d.hostname); err == nil {
		return errors.New("the tenant is still there")
	}
	return d.nothingLeft(ctx, schemaOf(text))
}
