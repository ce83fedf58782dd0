package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

type accountLimitsCmd struct {
	accountArgs
	Count string `arg:"" help:"How many records the account may have; 0: no limit; default: the tenant's setting."`
	Bytes string `arg:"" help:"What they may take, in bytes; 0: no limit; default: the tenant's setting."`
}

func (*accountLimitsCmd) Help() string {
	return "What the account has stays, also when it is more, and may be deleted and made smaller. It holds from the next write on, in all processes. 'locus tenant set HOST record_account_count=N record_account_bytes=BYTES' is the limit of all the others, and 'locus account info' shows what is used."
}

func (c *accountLimitsCmd) Run(ctx context.Context, log *slog.Logger) error {
	count, err := limitArgument("count", c.Count)
	if err != nil {
		return err
	}
	bytes, err := limitArgument("bytes", c.Bytes)
	if err != nil {
		return err
	}
	a, t, who, stop, err := c.account(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	limits, err := a.acts.SetRecordLimits(ctx, t, byCommand(), who.DID, count, bytes)
	if err != nil {
		return err
	}
	return c.say(outcome{"did": who.DID, "records": limits.Records, "bytes": limits.Bytes}, "%d records, %d bytes (0: no limit)", limits.Records, limits.Bytes)
}

// limitArgument reads a limit; nil for the word default.
func limitArgument(what, text string) (*int64, error) {
	if text == "default" {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%s: %.20q is neither a number nor the word default", what, text)
	}
	return &n, nil
}

// usageReport is what an account has and may have. A limit of 0 is none.
type usageReport struct {
	Records        int64 `json:"records"`
	RecordLimit    int64 `json:"recordLimit"`
	RecordBytes    int64 `json:"recordBytes"`
	RecordByteMost int64 `json:"recordBytesLimit"`
	Files          int64 `json:"files"`
	FileBytes      int64 `json:"fileBytes"`
	FileByteMost   int64 `json:"fileBytesLimit"`
}

func readUsage(ctx context.Context, a *app, t *tenant.Tenant, aid int64) (usageReport, error) {
	u, err := a.db.Tenant(t.Schema).Q().GetAccountUsage(ctx, aid)
	if err != nil {
		return usageReport{}, fmt.Errorf("usage: %w", err)
	}
	set := &t.Settings
	limits := repodb.LimitsOf(u.MaxRecords, u.MaxRecordBytes, repodb.Sum{Records: set.RecordAccountCount, Bytes: set.RecordAccountBytes})
	return usageReport{
		Records: u.Records, RecordLimit: limits.Records, RecordBytes: u.RecordBytes, RecordByteMost: limits.Bytes,
		Files: u.Blobs, FileBytes: u.Bytes, FileByteMost: blob.LimitOf(u.MaxBytes, set.BlobAccountLimit),
	}, nil
}
