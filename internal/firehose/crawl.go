package firehose

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/auroralocus/locus/db/controldb"
)

const (
	// CrawlEvery is how often a relay is told of one tenant at most.
	CrawlEvery   = 20 * time.Minute
	crawlTimeout = 20 * time.Second
	crawlAnswer  = 64 << 10 // bytes of a relay's answer that are read
	maxCrawlers  = 1000     // rows of one tenant, also of relays that it had once
)

// errRelay: a relay did not take the request.
var errRelay = errors.New("relay refused")

// Announce tells the relays of a tenant that there is news, those whose turn it is: at once, and then no more than once in
// CrawlEvery, with one call at the end if there were events in between. next is when to come again; the zero time: all
// have been told. A relay that answers nobody is asked by one tenant at a time, and the others wait without a statement.
func (k *Keeper) Announce(ctx context.Context, s Site) (next time.Time, err error) {
	if len(s.Crawlers) == 0 {
		return time.Time{}, nil
	}
	if next, held := k.quiet.held(s.Crawlers, s.Schema, k.now(), k.cfg.CrawlEvery); held {
		return next, nil
	}
	last, err := k.db.Tenant(s.Schema).Q().GetLastSeq(ctx)
	if err != nil || last == 0 {
		return time.Time{}, err
	}
	rows, err := k.crawlers(ctx, s)
	if err != nil {
		return time.Time{}, err
	}
	checked := false
	for _, c := range rows {
		if c.ToldSeq >= last {
			continue
		}
		now := k.now()
		if c.NextAt.After(now) {
			next = sooner(next, c.NextAt)
			continue
		}
		if !checked {
			if err := k.cfg.Ready(ctx, s.Hostname); err != nil {
				return time.Time{}, fmt.Errorf("%s does not answer yet: %w", s.Hostname, err)
			}
			checked = true
		}
		at, err := k.tell(ctx, s, c, last, now)
		if err != nil {
			return time.Time{}, err
		}
		next = sooner(next, at)
	}
	return next, nil
}

// crawlers are the rows of a tenant's relays; new ones get theirs.
func (k *Keeper) crawlers(ctx context.Context, s Site) ([]controldb.ListCrawlersRow, error) {
	for try := 1; ; try++ {
		rows, err := k.db.Control().ListCrawlers(ctx, controldb.ListCrawlersParams{SchemaName: s.Schema.String(), MaxRows: maxCrawlers})
		if err != nil {
			return nil, fmt.Errorf("what relays were told: %w", err)
		}
		known := map[string]controldb.ListCrawlersRow{}
		for _, r := range rows {
			known[r.Url] = r
		}
		var out []controldb.ListCrawlersRow
		var missing []string
		for _, url := range s.Crawlers {
			if r, ok := known[url]; ok {
				out = append(out, r)
			} else {
				missing = append(missing, url)
			}
		}
		if len(missing) == 0 || try > 1 { // behind the second try: the tenant is gone
			return out, nil
		}
		err = k.db.Control().InsertCrawlers(ctx, controldb.InsertCrawlersParams{SchemaName: s.Schema.String(), Urls: missing, NextAt: k.now().UTC()})
		if err != nil {
			return nil, fmt.Errorf("note new relays: %w", err)
		}
	}
}

// tell tells one relay, unless it answers nobody or another process has the turn, and says when to come again.
func (k *Keeper) tell(ctx context.Context, s Site, c controldb.ListCrawlersRow, last int64, now time.Time) (time.Time, error) {
	q, name, relay := k.db.Control(), s.Schema.String(), relayKey(c.Url)
	next, held, asker := k.quiet.hold(relay, s.Schema, now, k.cfg.CrawlEvery)
	if held {
		return next, nil
	}
	if asker {
		defer k.quiet.gaveUp(relay)
	}
	mine, err := q.UpdateCrawlerClaim(ctx, controldb.UpdateCrawlerClaimParams{
		SchemaName: name, Url: c.Url, Seq: last, Now: now.UTC(), NextAt: now.Add(k.cfg.CrawlEvery).UTC(),
	})
	if err != nil {
		return time.Time{}, err
	}
	if mine == 0 {
		return now.Add(k.cfg.CrawlRetry), nil // it may fail
	}
	if refused, err := k.requestCrawl(ctx, relay, s.Hostname); err != nil {
		wait := min(k.cfg.CrawlRetry<<min(c.Failures, 10), k.cfg.CrawlEvery)
		alive := refused || k.alive(ctx, relay)
		switch {
		case alive:
			k.answered(relay)
		case ctx.Err() == nil: // else it had no time to answer
			wait = k.quiet.unheard(relay, k.now(), k.cfg.CrawlRetry, k.cfg.CrawlEvery).Sub(now)
		}
		k.report(ctx, "relay did not take requestCrawl", err, "hostname", s.Hostname, "relay", c.Url, "retry_in", wait, "answers_others", alive)
		// The turn is given back even if the process is going down.
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return now.Add(wait), q.UpdateCrawlerFailed(back, controldb.UpdateCrawlerFailedParams{
			SchemaName: name, Url: c.Url, Seq: last, OldSeq: c.ToldSeq, NextAt: now.Add(wait).UTC(),
		})
	}
	k.answered(relay)
	k.log.Info("relay told of new events", "hostname", s.Hostname, "relay", c.Url)
	// The first event behind this waits until then.
	return now.Add(k.cfg.CrawlEvery), q.UpdateCrawlerSucceeded(ctx, controldb.UpdateCrawlerSucceededParams{SchemaName: name, Url: c.Url})
}

// sooner is the earlier of two dates; zero is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// requestCrawl makes the call. refused says that the relay answered that it does not want this host.
//
// spec: lexicon com.atproto.sync.requestCrawl
func (k *Keeper) requestCrawl(ctx context.Context, relay, hostname string) (refused bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, crawlTimeout)
	defer cancel()
	body, err := json.Marshal(map[string]string{"hostname": hostname})
	if err != nil {
		return false, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, relay+"/xrpc/com.atproto.sync.requestCrawl", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "aurora-locus")
	answer, err := k.cfg.Client.Do(r)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, crawlAnswer))
	if n := answer.StatusCode; n != http.StatusOK {
		return n >= 400 && n < 500 && n != http.StatusTooManyRequests, fmt.Errorf("%w: %d %.200q", errRelay, n, text)
	}
	return false, err
}
