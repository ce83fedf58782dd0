package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/firehose"
)

// crawler is a relay that notes whom it is asked to crawl.
type crawler struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func newCrawler(t *testing.T) *crawler {
	c := &crawler{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var in struct{ Hostname string }
		if r.URL.Path != "/xrpc/com.atproto.sync.requestCrawl" || json.NewDecoder(r.Body).Decode(&in) != nil {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked = append(c.asked, in.Hostname)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *crawler) times() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked)
}

// A relay is told of the first event at once, and not of each that follows. One that is new in the settings is told without
// waiting for the other's next turn.
func TestRelaysAreTold(t *testing.T) {
	t.Parallel()
	h := newLifeHouse(t)
	first, second := newCrawler(t), newCrawler(t)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for _, a := range h.nodes {
		a.handle(blob.NewSweeper(a.blobs), firehose.NewKeeper(h.db, time.Now, a.log, firehose.KeeperConfig{Ready: a.answers, Client: http.DefaultClient}))
		running.Go(func() { _ = a.book.Run(ctx) })
	}
	set := func(relays string) {
		t.Helper()
		if _, err := h.nodes[0].acts.SetTenant(t.Context(), h.of, byCommand(), map[string]string{"crawlers": relays}, ""); err != nil {
			t.Fatal(err)
		}
	}
	set(first.URL)
	alice := h.account(lifeHost, "alice")
	h.until("a word to the relay", func() bool { return first.times() > 0 })
	for range 3 {
		h.write(lifeHost, alice)
	}
	set(first.URL + "," + second.URL)
	h.until("a word to the new relay", func() bool { return second.times() > 0 })
	if first.times() != 1 || second.times() != 1 || second.asked[0] == "" || first.asked[0] != second.asked[0] {
		t.Errorf("the relays were asked %v and %v", first.asked, second.asked)
	}
}
