package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"time"

	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/tenant"
)

// sites are the tenants whose streams are looked after.
func (a *app) sites(ctx context.Context) ([]firehose.Site, error) {
	all, err := a.tenants.List(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]firehose.Site, 0, len(all))
	for _, t := range all {
		u, err := url.Parse(t.PublicURL)
		if err != nil || !t.HasStream() || t.State == tenant.Moving {
			continue
		}
		crawlers := t.Settings.Crawlers
		if t.Settings.Isolated {
			crawlers = nil
		}
		out = append(out, firehose.Site{
			Schema: t.Schema, Hostname: u.Host, Crawlers: crawlers,
			Window: time.Duration(t.Settings.FirehoseRetentionHours) * time.Hour,
		})
	}
	return out, nil
}

// answers tells whether this process serves a tenant. It asks in process: from inside, a host's public address often
// cannot be reached.
func (a *app) answers(ctx context.Context, host string) error {
	_, err := a.tenants.ByHost(ctx, host)
	if errors.Is(err, tenant.ErrTenantSuspended) || errors.Is(err, tenant.ErrTenantDeleted) {
		return nil // the stream is served all the same, and says so
	}
	return err
}

// where is this process for people: its host's name and the address that it serves at.
func (s *serving) where() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + " " + s.web.Addr().String()
}
