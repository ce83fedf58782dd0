package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/keyring"
)

// Two processes serve writes and sign-ins while the master key is replaced, and no request fails. Each has keys of its own,
// read from one file.
func TestKeyRotationServes(t *testing.T) {
	t.Parallel()
	h := newLifeHouse(t)
	file := filepath.Join(h.dir, "master.key")
	given := func(context.Context) (*keyring.Master, error) { return keyring.LoadMaster(file) }
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer func() { stop(); running.Wait() }()
	for i, a := range h.nodes {
		a.masters.Source(given)
		a.self.Holds(a.masters)
		running.Go(func() { _ = a.self.Run(ctx, "node "+string(rune('a'+i)), "test") })
	}
	first, second := h.account(lifeHost, "alice"), h.account(lifeHost, "bob")
	var done atomic.Int64
	for node, a := range []lifeAccount{first, second} {
		running.Go(func() {
			for ctx.Err() == nil {
				status, text, _ := h.ask(node, "POST", lifeHost, "/xrpc/com.atproto.server.createSession", "", map[string]string{"identifier": a.Handle, "password": "hunter2-" + strings.SplitN(a.Handle, ".", 2)[0]})
				if status == 429 { // sign-ins have a limit; writes go on
					status, text = 200, ""
				}
				if status == 200 && text != "" && json.Unmarshal([]byte(text), &a) != nil {
					t.Error(text)
				}
				wrote, said, _ := h.ask(1-node, "POST", lifeHost, "/xrpc/com.atproto.repo.createRecord", a.Access, map[string]any{
					"repo": a.DID, "collection": "com.example.note", "record": map[string]any{"$type": "com.example.note", "text": "hello"},
				})
				if status != 200 || wrote != 200 {
					t.Errorf("%d %s; %d %s", status, text, wrote, said)
					return
				}
				done.Add(1)
			}
		})
	}
	key, err := keyring.AppendMaster(file, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := done.Load()
	spec, err := h.nodes[0].masters.StartRotation(t.Context(), byCommand(), h.nodes[0].jobs, act.KeyRotation{})
	if err != nil {
		t.Fatal(err)
	}
	var sum act.KeyRotated
	h.do(spec, &sum)
	if sum.Key != int(key.ID) || len(sum.Refused) != 1 || sum.Refused[0] != 1 || sum.Resealed < 5 || len(sum.Damaged) > 0 {
		t.Errorf("%+v", sum)
	}
	during := done.Load() - before
	h.until("more requests", func() bool { return done.Load() > before+during+4 || t.Failed() })
	is, err := h.nodes[1].masters.Status(t.Context(), true, func(string, int64, int64) {})
	if err != nil || len(is.Processes) != 2 || is.Keys[0].State != "refused" || is.Keys[0].Values != 0 || is.Keys[1].State != "seals" {
		t.Errorf("%+v, %v", is, err)
	}
	for _, p := range is.Processes {
		if len(p.Lacks) > 0 || !p.Follows {
			t.Errorf("%+v", p)
		}
	}
	for node, a := range h.nodes {
		if a.keys.Current() != key.ID {
			t.Errorf("process %d seals by key %d", node, a.keys.Current())
		}
	}
	t.Logf("%d rounds during the rotation", during)
}
