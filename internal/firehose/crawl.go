package firehose

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

const (
	// crawlRound is how often it is looked for tenants whose relays may be told again.
	crawlRound = 15 * time.Second
	// crawlSweep is how often all tenants are looked at: what another node left untold when it died, or a relay that is
	// new in the settings.
	crawlSweep   = 10 * time.Minute
	crawlTimeout = 20 * time.Second
	crawlAnswer  = 64 << 10 // bytes of a relay's answer that are read
)

// errRelay: a relay did not take the request.
var errRelay = errors.New("relay refused")

// runCrawls tells relays of tenants with news: at once, and then no more than once in CrawlEvery, with one call at the
// end if there were events in between.
func (k *Keeper) runCrawls(ctx context.Context) {
	var swept time.Time
	for {
		all := k.now().Sub(swept) >= crawlSweep || k.now().Before(swept)
		if all {
			swept = k.now()
		}
		if err := k.crawlRound(ctx, all); err != nil {
			k.report(ctx, "relays cannot be told of new events", err)
			swept = time.Time{}
		}
		round := time.NewTimer(crawlRound)
		select {
		case <-ctx.Done():
			round.Stop()
			return
		case <-round.C:
		case <-k.wake:
			round.Stop()
			sleep(ctx, 50*time.Millisecond) // the first event of several
		}
	}
}

func (k *Keeper) crawlRound(ctx context.Context, all bool) error {
	k.mu.Lock()
	idle := len(k.dirty) == 0
	k.mu.Unlock()
	if idle && !all {
		return nil
	}
	sites, err := k.cfg.Sites(ctx)
	if err != nil {
		return err
	}
	for _, s := range sites {
		if ctx.Err() != nil {
			return nil
		}
		k.mu.Lock()
		dirty := k.dirty[s.Schema]
		delete(k.dirty, s.Schema)
		k.mu.Unlock()
		if !dirty && !all || len(s.Crawlers) == 0 {
			continue
		}
		again, err := k.Announce(ctx, s)
		if err != nil {
			k.report(ctx, "relay cannot be told of new events", err, "hostname", s.Hostname)
		}
		if again || err != nil {
			k.mu.Lock()
			k.dirty[s.Schema] = true
			k.mu.Unlock()
		}
	}
	return nil
}

// Announce tells the relays of a tenant that there is news, those whose turn it is. again: there is something left to
// tell later.
func (k *Keeper) Announce(ctx context.Context, s Site) (again bool, err error) {
	q := k.db.Tenant(s.Schema).Q()
	last, err := q.GetLastSeq(ctx)
	if err != nil {
		return true, err
	}
	checked := false
	for _, url := range s.Crawlers {
		c, err := q.GetCrawler(ctx, url)
		if db.IsNoRows(err) {
			if err = q.InsertCrawler(ctx, tenantdb.InsertCrawlerParams{Url: url, NextAt: k.now()}); err == nil {
				c, err = q.GetCrawler(ctx, url)
			}
		}
		if err != nil {
			return true, err
		}
		now := k.now()
		if c.ToldSeq >= last {
			continue
		}
		if c.NextAt.After(now) {
			again = true
			continue
		}
		if !checked {
			if err := k.cfg.Ready(ctx, s.Hostname); err != nil {
				return true, fmt.Errorf("does not answer yet: %w", err)
			}
			checked = true
		}
		mine, err := q.UpdateCrawlerClaim(ctx, tenantdb.UpdateCrawlerClaimParams{Url: url, Seq: last, Now: now, NextAt: now.Add(k.cfg.CrawlEvery)})
		if err != nil {
			return true, err
		}
		if mine == 0 {
			again = true // another node has it; look once more
			continue
		}
		if err := k.requestCrawl(ctx, url, s.Hostname); err != nil {
			again = true
			wait := min(k.cfg.CrawlRetry<<min(c.Failures, 10), k.cfg.CrawlEvery)
			k.report(ctx, "relay did not take requestCrawl", err, "hostname", s.Hostname, "relay", url, "retry_in", wait)
			// The turn is given back even if the process is going down.
			back, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			err := q.UpdateCrawlerFailed(back, tenantdb.UpdateCrawlerFailedParams{Url: url, Seq: last, OldSeq: c.ToldSeq, NextAt: now.Add(wait)})
			cancel()
			if err != nil {
				return true, err
			}
			continue
		}
		k.log.Info("relay told of new events", "hostname", s.Hostname, "relay", url)
		if err := q.UpdateCrawlerSucceeded(ctx, url); err != nil {
			return true, err
		}
	}
	return again, nil
}

// requestCrawl makes the call.
//
// spec: lexicon com.atproto.sync.requestCrawl
func (k *Keeper) requestCrawl(ctx context.Context, relay, hostname string) error {
	ctx, cancel := context.WithTimeout(ctx, crawlTimeout)
	defer cancel()
	body, err := json.Marshal(map[string]string{"hostname": hostname})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(relay, "/")+"/xrpc/com.atproto.sync.requestCrawl", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "aurora-locus")
	answer, err := k.cfg.Client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, crawlAnswer))
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %d %.200q", errRelay, answer.StatusCode, text)
	}
	return err
}
