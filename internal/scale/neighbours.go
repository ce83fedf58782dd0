package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// neighbours says how it is measured what one tenant's load does to another's calls.
type neighbours struct {
	only    bool
	apart   bool
	loads   string
	rounds  int
	window  time.Duration
	clients int
	records int
	debug   string
	profile string
}

func (n *neighbours) flags(flags *flag.FlagSet) {
	flags.BoolVar(&n.only, "neighbours", false, "measure only what one tenant's load does to another's calls")
	flags.BoolVar(&n.apart, "apart", false, "measure also what the load does when another server with a Postgres of its own has it")
	flags.StringVar(&n.loads, "load", "", "kinds of load, behind commas; default: all of "+strings.Join(loadNames(), ","))
	flags.IntVar(&n.rounds, "rounds", 5, "how often a window without the load and one with it follow each other")
	flags.DurationVar(&n.window, "window", 3*time.Second, "how long each of these windows is")
	flags.IntVar(&n.clients, "clients", 64, "clients that make the load")
	flags.IntVar(&n.records, "records", 2000, "records of each account that is exported")
	flags.StringVar(&n.debug, "debug", "", "loopback address for the server's profiler")
	flags.StringVar(&n.profile, "profile", "", "folder for a CPU profile and a trace of the server under each load; needs -debug")
}

func (n *neighbours) check() error {
	for _, name := range n.names() {
		if _, ok := loads[name]; !ok {
			return fmt.Errorf("no such load: %s; there are %s", name, strings.Join(loadNames(), ", "))
		}
	}
	if n.profile != "" && n.debug == "" {
		return errors.New("-profile needs -debug, such as -debug 127.0.0.1:6060")
	}
	return nil
}

func (n *neighbours) names() []string {
	if n.loads == "" {
		return loadNames()
	}
	return strings.Split(n.loads, ",")
}

// probe is what one client of the quiet tenant got done in one window.
type probe struct{ create, get []time.Duration }

// besides measures a single client of one tenant beside each kind of load of another. The load comes from a program of
// its own that stands behind the server and the one client, as strangers' machines are not ours. It stands still in every
// other window: so a busy machine harms both alike. Told are medians over the windows.
func (f *field) besides(ctx context.Context) error {
	n := f.plan.neighbours
	loud, err := f.accounts(ctx, 1)
	if err != nil {
		return err
	}
	quiet, err := f.accounts(ctx, 2)
	if err != nil {
		return err
	}
	if err := f.writeProfiles(ctx, append(slices.Clone(loud), quiet[0])...); err != nil {
		return err
	}
	var other *twin
	if n.apart {
		var end func() error
		if other, end, err = f.startTwin(ctx); err != nil {
			return err
		}
		defer func() { _ = end() }()
	}
	for _, name := range n.names() {
		if loads[name].records {
			if err := f.fillRepos(ctx, loud, n.records); err != nil {
				return err
			}
			if other != nil {
				if err := other.fillRepos(ctx, other.loud, n.records); err != nil {
					return err
				}
			}
		}
		if err := f.beside(ctx, name, loud, quiet[0], other); err != nil {
			return fmt.Errorf("beside %s: %w", name, err)
		}
	}
	return nil
}

func (f *field) writeProfiles(ctx context.Context, all ...writer) error {
	for _, w := range all {
		if err := f.writeProfile(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

const (
	warmUp    = time.Second            // until a load is there in full
	afterLoad = 500 * time.Millisecond // until what it left is over
)

// beside measures one kind of load; other is nil without -apart.
func (f *field) beside(ctx context.Context, name string, loud []writer, quiet writer, other *twin) error {
	n := f.plan.neighbours
	var alone, with, apart []probe
	var done tally
	var doneApart string
	var busy, server, postgres time.Duration
	for round := range n.rounds {
		p, err := f.window(ctx, quiet)
		if err != nil {
			return err
		}
		alone = append(alone, p)
		l, err := f.startLoad(ctx, name, loud)
		if err != nil {
			return err
		}
		began := time.Now()
		wait(ctx, warmUp)
		f.shareOnce() // Postgres has more connections now
		if n.profile != "" && round == 0 {
			go f.keepProfiles(name)
		}
		own, theirs := processCPU(f.cmd.Process.Pid), treeCPU(f.server.Pid())
		p, err = f.window(ctx, quiet)
		server, postgres = server+processCPU(f.cmd.Process.Pid)-own, postgres+treeCPU(f.server.Pid())-theirs
		t, loadErr := l.end()
		busy += time.Since(began)
		if err = errors.Join(err, loadErr); err != nil {
			return err
		}
		with, done = append(with, p), done.plus(t)
		wait(ctx, afterLoad)
		if other != nil {
			p, text, err := f.loadApart(ctx, other, name, quiet)
			if err != nil {
				return err
			}
			apart, doneApart = append(apart, p), text
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	all := f.plan.neighbours.window.Seconds() * float64(n.rounds)
	f.say("%-12s %s; the server takes %.2f cores, Postgres %.2f", name, done.text(busy), server.Seconds()/all, postgres.Seconds()/all)
	if other != nil {
		f.say("             at another server, in the last round: %s", doneApart)
	}
	for _, call := range []struct {
		what string
		of   kindOfCall
	}{{"createRecord", func(p probe) []time.Duration { return p.create }}, {"getRecord", func(p probe) []time.Duration { return p.get }}} {
		f.tellRatio(call.what, alone, with, call.of)
		if other != nil {
			f.tellApart(call.what, with, apart, call.of)
		}
	}
	return nil
}

// kindOfCall gives the times of one of a probe's two calls.
type kindOfCall func(probe) []time.Duration

// at is the median over windows of a percentile.
func (of kindOfCall) at(all []probe, percent int) time.Duration {
	var each []time.Duration
	for _, p := range all {
		took := slices.Sorted(slices.Values(of(p)))
		if len(took) > 0 {
			each = append(each, took[len(took)*percent/100])
		}
	}
	return median(each)
}

func (f *field) tellRatio(what string, alone, with []probe, of kindOfCall) {
	ratio := func(percent int) float64 {
		return float64(of.at(with, percent)) / float64(max(of.at(alone, percent), 1))
	}
	f.say("    %-12s p50 %6.2f → %6.2f ms (%.1f), p90 %.1f, p99 %6.2f → %6.2f ms: %.1f times", what,
		ms(of.at(alone, 50)), ms(of.at(with, 50)), ratio(50), ratio(90), ms(of.at(alone, 99)), ms(of.at(with, 99)), ratio(99))
}

// window has one client write and read by turns.
func (f *field) window(ctx context.Context, w writer) (p probe, err error) {
	for began := time.Now(); time.Since(began) < f.plan.neighbours.window && ctx.Err() == nil; {
		before := time.Now()
		if err := f.write(ctx, w); err != nil {
			return p, err
		}
		middle := time.Now()
		if err := f.read(ctx, w); err != nil {
			return p, err
		}
		p.create, p.get = append(p.create, middle.Sub(before)), append(p.get, time.Since(middle))
	}
	return p, ctx.Err()
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// fillRepos writes records until each of the accounts has so many.
func (f *field) fillRepos(ctx context.Context, all []writer, records int) error {
	const each = 200
	for _, w := range all {
		usage := struct{ Records struct{ Count int } }{}
		if err := f.askFor(ctx, w, "/xrpc/org.auroralocus.server.getUsage", &usage); err != nil {
			return err
		}
		for n := usage.Records.Count; n < records && ctx.Err() == nil; n += each {
			writes := make([]map[string]any, each)
			for i := range writes {
				writes[i] = map[string]any{"$type": "com.atproto.repo.applyWrites#create", "collection": post, "value": newPost()}
			}
			body, err := json.Marshal(map[string]any{"repo": w.did, "writes": writes})
			if err != nil {
				return err
			}
			if err := f.ask(ctx, http.MethodPost, w.host, "/xrpc/com.atproto.repo.applyWrites", w.token, body); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// askFor reads an answer of JSON.
func (f *field) askFor(ctx context.Context, w writer, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.host+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	resp, err := f.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %d", path, resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// keepProfiles keeps what the server did under a load.
func (f *field) keepProfiles(name string) {
	n := f.plan.neighbours
	for _, what := range []string{"profile", "trace"} {
		seconds := max(1, int(n.window.Seconds())/2)
		resp, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/%s?seconds=%d", n.debug, what, seconds))
		if err != nil {
			f.say("no %s: %v", what, err)
			return
		}
		file, err := os.Create(filepath.Join(n.profile, name+"."+what))
		if err == nil {
			_, err = io.Copy(file, resp.Body)
			err = errors.Join(err, file.Close())
		}
		_ = resp.Body.Close()
		if err != nil {
			f.say("no %s: %v", what, err)
		}
	}
}
