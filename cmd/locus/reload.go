package main

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/tenant"
)

// reloader reads again what a process can read again while it serves, when a hang-up asks for it. A hang-up is not a
// server's end: a terminal that closes sends it, too.
type reloader struct {
	logs    *logs
	who     *supervisor
	started *configured                         // what the process began with, and is until its end
	live    map[string]func(value string) error // settings of the configuration file that hold at once; "" is the default
	read    map[string]bool                     // settings that a part reads again by itself
	parts   []reloadable
}

// reloadable is a part that can be read again. again says in a few words what came of it; "" is: nothing is new.
type reloadable struct {
	name  string
	again func(context.Context) (string, error)
}

// newReloader knows the log and the tenants. Who has something else that can be read again, such as certificates, adds
// it with [reloader.add].
func newReloader(l *logs, who *supervisor, tenants *tenant.Registry, access *accessLog) *reloader {
	r := &reloader{logs: l, who: who, started: l.said, live: map[string]func(string) error{}, read: map[string]bool{}}
	if !l.fixed("--log-level") {
		r.live["LOCUS_LOG_LEVEL"] = l.setLevel
	}
	if !l.fixed("--access-log") {
		r.live["LOCUS_ACCESS_LOG"] = access.choose
	}
	if l.file != nil {
		r.add("log file", func(context.Context) (string, error) { return "opened anew", l.file.reopen() })
	}
	r.add("tenants", func(ctx context.Context) (string, error) { return "read", tenants.Refresh(ctx) })
	return r
}

// add lets a hang-up read one thing more.
func (r *reloader) add(name string, again func(context.Context) (string, error)) {
	r.parts = append(r.parts, reloadable{name, again})
}

// run waits for hang-ups until ctx ends.
func (r *reloader) run(ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		r.who.reloading("reading settings again")
		r.reload(ctx)
		r.who.ready("serving")
	}
}

// reload writes one line: what was read again, what failed and stays as it was, and what only a restart changes.
func (r *reloader) reload(ctx context.Context) {
	var done, failed, restart []string
	for _, p := range r.parts {
		said, err := p.again(ctx)
		switch {
		case err != nil:
			failed = append(failed, p.name+": "+err.Error())
		case said != "":
			done = append(done, p.name+" "+said)
		}
	}
	said, err := r.logs.again()
	if err != nil {
		failed = append(failed, err.Error())
		said = r.logs.said
	}
	// A setting that needs a restart is told at each hang-up until there was one, or until it is as it was. One that cannot
	// be set is told again, too: what is remembered is what holds.
	for _, name := range differences(r.started, said) {
		if r.live[name] == nil && !r.read[name] {
			restart = append(restart, setting{env: name}.key())
		}
	}
	holds := *said
	holds.values = maps.Clone(said.values)
	for _, name := range differences(r.logs.said, said) {
		set := r.live[name]
		if set == nil {
			continue
		}
		if err := set(said.values[name]); err != nil {
			failed = append(failed, err.Error())
			if before, had := r.logs.said.values[name]; had {
				holds.values[name] = before
			} else {
				delete(holds.values, name)
			}
			continue
		}
		value := said.values[name]
		if value == "" {
			value = "as by default"
		}
		done = append(done, setting{env: name}.key()+": "+value)
	}
	r.logs.said = &holds
	level, line := slog.LevelInfo, []any{"reloaded", strings.Join(done, ", ")}
	if len(failed) > 0 {
		level, line = slog.LevelWarn, append(line, "failed", strings.Join(failed, "; "))
	}
	if len(restart) > 0 {
		level, line = slog.LevelWarn, append(line, "needs_restart", strings.Join(restart, ", "))
	}
	r.logs.Log(ctx, level, "SIGHUP: settings were read again", line...)
}

// differences are the settings that say something else now.
func differences(was, is *configured) (names []string) {
	all := maps.Clone(was.values)
	maps.Copy(all, is.values)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		before, had := was.values[name]
		if now, has := is.values[name]; had != has || before != now {
			names = append(names, name)
		}
	}
	return names
}
