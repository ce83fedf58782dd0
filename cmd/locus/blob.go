package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/internal/blob"
)

type blobCmd struct {
	Usage  blobUsageCmd  `cmd:"" help:"What a tenant's files take, where they are, and whose they are."`
	Limit  blobLimitCmd  `cmd:"" help:"Give one account a limit of its own."`
	Store  blobStoreCmd  `cmd:"" help:"Say where a tenant's new files go, with keys of its own for S3. What is there already stays until 'locus blob move'."`
	Move   blobMoveCmd   `cmd:"" help:"Move a tenant's files to another store while it serves. Ended at any time, the same command goes on."`
	Adopt  blobAdoptCmd  `cmd:"" name:"adopt-folder" help:"Say that a store, as it is on this machine, is the one that the database means."`
	Verify blobVerifyCmd `cmd:"" help:"Hold rows, stores, references and counters against each other. Exit status 1 when anything is wrong and not repaired."`
}

type blobArgs struct {
	appFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	JSON     bool   `help:"Print JSON, one object a line."`
}

// blobManyArgs are those of commands that take one tenant or all.
type blobManyArgs struct {
	appFlags
	manyFlags
	JSON bool `help:"Print JSON, one object a line; with --all one for each tenant."`
}

type blobUsageCmd struct {
	blobManyArgs
	Top int `help:"How many accounts to list, the largest first; none with --all." default:"20"`
}

func (*blobUsageCmd) Help() string {
	return "Reads counters that are kept with every upload and deletion, and counts the rows of each store, which takes a while with millions. No file is touched and nothing is changed. With --all: a line for each tenant, from its counters alone. 'locus tenant list --usage' has records beside them, and 'locus usage export' what was used day by day."
}

func (c *blobUsageCmd) Run(ctx context.Context, log *slog.Logger) error {
	if c.Top < 0 || c.Top > 100_000 {
		return errors.New("--top must be between 0 and 100000")
	}
	if err := c.oneOrAll(); err != nil {
		return err
	}
	if c.All {
		return c.usageAll(ctx, log)
	}
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	q := a.db.Tenant(t.Schema).Q()
	total, err := q.GetBlobTotals(ctx)
	if err != nil {
		return err
	}
	stores, err := q.ListBlobStores(ctx)
	if err != nil {
		return err
	}
	trash, err := q.CountBlobTrash(ctx, time.Now())
	if err != nil {
		return err
	}
	accounts, err := q.ListBlobUsage(ctx, int32(c.Top))
	if err != nil {
		return err
	}
	if c.JSON {
		for _, u := range accounts {
			if err := printJSONLine(map[string]any{"did": u.DID, "blobs": u.Blobs, "bytes": u.Bytes, "limit": u.MaxBytes}); err != nil {
				return err
			}
		}
		return printJSONLine(map[string]any{"blobs": total.Blobs, "bytes": total.Bytes, "toDelete": trash.Objects, "failing": trash.Failing})
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "total\t%d files\t%s\n", total.Blobs, size(total.Bytes))
	for _, s := range stores {
		n, err := q.CountBlobsIn(ctx, s.Store)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "in %s\t%d files\t%s\n", s.Location, n.Blobs, size(n.Bytes))
	}
	fmt.Fprintf(w, "to be deleted\t%d files\t%d failed before\n", trash.Objects, trash.Failing)
	for _, u := range accounts {
		limit := ""
		if u.MaxBytes != nil {
			limit = "limit " + size(*u.MaxBytes)
		}
		fmt.Fprintf(w, "%s\t%d files\t%s\t%s\n", u.DID, u.Blobs, size(u.Bytes), limit)
	}
	return w.Flush()
}

// size is bytes for people.
func size(n int64) string {
	f, unit := float64(n), "bytes"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, u
	}
	if unit == "bytes" {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

// everyTwoSeconds says when it is time to tell how far something is.
func everyTwoSeconds() (due func() bool) {
	last := time.Now()
	return func() bool {
		if time.Since(last) < 2*time.Second {
			return false
		}
		last = time.Now()
		return true
	}
}

type blobLimitCmd struct {
	blobArgs
	Account string `arg:"" help:"DID or handle."`
	Bytes   string `arg:"" help:"Bytes; 0: no limit; default: the tenant's setting."`
}

func (*blobLimitCmd) Help() string {
	return "One row, from the next upload on. What the account has stays, also when it is more. 'locus tenant set HOST blob_account_limit=BYTES' is the limit of all the others."
}

func (c *blobLimitCmd) Run(ctx context.Context, log *slog.Logger) error {
	limit, err := limitArgument("bytes", c.Bytes)
	if err != nil {
		return err
	}
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	who, err := findAccount(ctx, a, t, c.Account)
	if err != nil {
		return err
	}
	if _, err = a.acts.SetBlobLimit(ctx, t, byCommand(), who.DID, limit); err != nil {
		return err
	}
	return jsonFlags{c.JSON}.say(outcome{"did": who.DID, "limit": limit}, "%s: %s bytes of files (0: no limit)", who.DID, c.Bytes)
}

type blobStoreCmd struct {
	blobArgs
	Where     string `arg:"" name:"store" optional:"" help:"data:, disk:/folder, s3://bucket/prefix?endpoint=URL&region=NAME, or default: the deployment's. Without it: list the stores used."`
	AccessKey string `placeholder:"KEY" help:"S3 access key for this tenant. The secret key comes from LOCUS_S3_TENANT_SECRET_KEY or, with '-', from standard input."`
	Secret    string `name:"secret-key" placeholder:"-" help:"'-' reads the S3 secret key from standard input." env:"LOCUS_S3_TENANT_SECRET_KEY"`
}

func (*blobStoreCmd) Help() string {
	return "First a small file is written there, read and deleted, so a store that does not work or a wrong key changes nothing. Servers follow within two seconds; new keys of a store in use they take up within ten minutes, so let the old keys work until then. No file is moved: the ones that are there are served from where they are. Undone by the same command with the store before."
}

func (c *blobStoreCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	if c.Where == "" {
		stores, err := a.db.Tenant(t.Schema).Q().ListBlobStores(ctx)
		for _, s := range stores {
			fmt.Printf("%d  %s\n", s.Store, s.Location)
		}
		return err
	}
	if c.Where == "default" {
		c.Where = ""
	}
	var keys *blob.Credentials
	if c.AccessKey != "" {
		secret, err := secretArgument(c.Secret, os.Stdin)
		if err != nil {
			return err
		}
		keys = &blob.Credentials{AccessKey: c.AccessKey, SecretKey: secret}
	}
	return a.acts.SetBlobStore(ctx, t, byCommand(), c.Where, keys)
}

type blobMoveCmd struct {
	blobArgs
	To string `required:"" placeholder:"STORE" help:"Where to: see 'locus blob store'. New files go there first."`
}

func (*blobMoveCmd) Help() string {
	return "Reads every file once and writes it once, four at a time, and compares its digest; the new store needs the room. Files on the way to S3 pass through this machine's data folder. " +
		"Each file is served from the old store until its copy is durable. Old ones are deleted by the server ten minutes after, so for that time both stores hold them. " +
		"Progress is on standard error every two seconds. Ctrl-C, or a crash, loses nothing: what was moved is moved, a copy that was not finished is deleted by the server within hours, and the same command goes on with the rest. " +
		"To go back, move to the store before. A file that cannot be read stays where it is and is counted; 'locus blob verify' says more of it."
}

func (c *blobMoveCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	if c.To == "default" {
		c.To = ""
	}
	if err := a.acts.BeginBlobMove(ctx, t, byCommand(), c.To); err != nil {
		return explainTenant(err)
	}
	due := everyTwoSeconds()
	for range 5 {
		p, err := a.blobs.Move(ctx, t.Schema, c.To, func(p blob.Progress) {
			if due() {
				fmt.Fprintf(os.Stderr, "%d of %d files, %s of %s\n", p.Moved, p.Total, size(p.Bytes), size(p.TotalBytes))
			}
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%d files moved, %s\n", p.Moved, size(p.Bytes))
		if p.Failed > 0 {
			return fmt.Errorf("%d files stay where they are: %w", p.Failed, p.FirstFailure)
		}
		if p.Total == 0 {
			return nil
		}
		time.Sleep(3 * time.Second) // servers follow the setting within two seconds; what came meanwhile is taken along
	}
	return errors.New("files still arrive in the old store: does a server not follow the setting?")
}

type blobVerifyCmd struct {
	blobManyArgs
	Deep   bool          `help:"Read every file and compare its digest."`
	Repair bool          `help:"Repair what is wrong."`
	Young  time.Duration `help:"Files without a row that are younger are taken for uploads on their way." default:"1h"`
}

func (*blobVerifyCmd) Help() string {
	return "Reads every record that names files and asks the store for each file: on S3, one request a file and one a thousand for the list. With --deep it reads all the bytes. " +
		"The tenant serves meanwhile; what is found is looked at again before it is told. Without --repair nothing is changed. Problems are on standard output, one a line, progress on standard error every two seconds. " +
		"Ctrl-C ends it at any time; repairs that were told are done, and the next run begins from the start. " +
		"Repairing, a row whose bytes are lost goes (the account's app sees the file as missing and may upload it again), a file without a row is deleted, and references, states and counters become what records and rows say. What cannot be read is told and stays, and so does what is known of a lost file that is taken down. " +
		"Where a store is not the one that the database knows (a disk that is not mounted, another machine's folder), that is told and nothing is repaired: see 'locus blob adopt-folder'. " +
		"With --all only tenants with problems have a line, with the first of them; the command with their name lists all."
}

func (c *blobVerifyCmd) Run(ctx context.Context, log *slog.Logger) error {
	if err := c.oneOrAll(); err != nil {
		return err
	}
	if c.All {
		return c.verifyAll(ctx, log)
	}
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	total, err := a.db.Tenant(t.Schema).Q().GetBlobTotals(ctx)
	if err != nil {
		return err
	}
	due := everyTwoSeconds()
	o := blob.VerifyOptions{Deep: c.Deep, Repair: c.Repair, Young: c.Young, Progress: func(v blob.Verified) {
		if due() {
			fmt.Fprintf(os.Stderr, "%d references, %d of %d files, %s of %s, %d objects; %d problems\n",
				v.References, v.Blobs, total.Blobs, size(v.Bytes), size(total.Bytes), v.Objects, v.Problems)
		}
	}}
	sum, err := a.acts.VerifyBlobs(ctx, t, byCommand(), o, func(p blob.Problem) error {
		if c.JSON {
			return printJSONLine(p)
		}
		_, err := fmt.Println(problemLine(p))
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSONLine(sum)
	} else {
		fmt.Fprintf(os.Stderr, "%d files, %s; %d objects in %d stores; %d references, %d missing; %d uploads on their way; %d problems, %d repaired\n",
			sum.Blobs, size(sum.Bytes), sum.Objects, sum.StoresChecked, sum.References, sum.Missing, sum.Young, sum.Problems, sum.Repaired)
	}
	if err == nil && sum.Problems > sum.Repaired {
		err = errProblems
	}
	return err
}
