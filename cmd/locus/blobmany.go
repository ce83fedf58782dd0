package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/tenant"
)

// verifiedJSON is a tenant's line.
type verifiedJSON struct {
	Hostname string `json:"hostname"`
	blob.Verified
	First *blob.Problem `json:"first,omitempty"` // of the problems
}

// verifyAll verifies all tenants' files.
func (c *blobVerifyCmd) verifyAll(ctx context.Context, log *slog.Logger) error {
	a, stop, err := c.parts(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	return c.walk(ctx, a.tenants, c.JSON, "verifying files", func(ctx context.Context, t *tenant.Tenant, p *progress) error {
		line := verifiedJSON{Hostname: t.Hostname}
		o := blob.VerifyOptions{Deep: c.Deep, Repair: c.Repair, Young: c.Young, Progress: func(v blob.Verified) {
			p.show(t.Hostname+": files", v.Blobs, 0)
		}}
		var err error
		line.Verified, err = a.acts.VerifyBlobs(ctx, t, byCommand(), o, func(problem blob.Problem) error {
			if line.First == nil {
				line.First = &problem
			}
			return nil
		})
		if err != nil {
			return err
		}
		trouble := line.Problems > line.Repaired
		p.end()
		switch {
		case c.JSON:
			err = printJSONLine(line)
		case line.Problems > 0:
			_, err = fmt.Printf("%-9s %s: %d problems, %d repaired; the first: %s\n", checkWord(!trouble), t.Hostname, line.Problems, line.Repaired, problemLine(*line.First))
		}
		if err == nil && trouble {
			err = errProblems
		}
		return err
	})
}

// checkWord is the first word of a line.
func checkWord(ok bool) string {
	if ok {
		return "ok"
	}
	return "PROBLEMS"
}

// problemLine is a problem for people.
func problemLine(p blob.Problem) string {
	done := ""
	if p.Repaired {
		done = " (repaired)"
	}
	who := p.DID
	if who == "" && p.AID != 0 {
		who = fmt.Sprintf("account %d", p.AID)
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s: %s%s", strings.ToUpper(p.Kind), who, p.CID, p.Object, p.Text, done)), " ")
}

// usageAll prints what each tenant's files take.
func (c *blobUsageCmd) usageAll(ctx context.Context, log *slog.Logger) error {
	a, stop, err := c.parts(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	return c.walk(ctx, a.tenants, c.JSON, "reading counters", func(ctx context.Context, t *tenant.Tenant, p *progress) error {
		q := a.db.Tenant(t.Schema).Q()
		total, err := q.GetBlobTotals(ctx)
		if err != nil {
			return err
		}
		trash, err := q.CountBlobTrash(ctx, time.Now())
		if err != nil {
			return err
		}
		p.end()
		if c.JSON {
			return printJSONLine(map[string]any{"hostname": t.Hostname, "blobs": total.Blobs, "bytes": total.Bytes, "toDelete": trash.Objects, "failing": trash.Failing})
		}
		_, err = fmt.Printf("%-40s %10d files %12s; to be deleted %d, failed before %d\n", t.Hostname, total.Blobs, size(total.Bytes), trash.Objects, trash.Failing)
		return err
	})
}
