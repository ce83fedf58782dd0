package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/auroralocus/locus/internal/procfs"
)

const base36 = "0123456789abcdefghijklmnopqrstuvwxyz"

// newNonce names a run: five characters, which leaves room for a number in a handle.
func newNonce() string {
	b := make([]byte, 5)
	for i := range b {
		b[i] = base36[rand.IntN(len(base36))]
	}
	return string(b)
}

type runCmd struct {
	Workload string `arg:"" enum:"${workloads}" help:"${workload_help}."`

	URL         string        `required:"" help:"The server, such as http://localhost:2583."`
	Host        string        `help:"Host header, when it differs from the URL's."`
	AllowRemote bool          `help:"Permit a server that is not on this machine."`
	Timeout     time.Duration `default:"30s" help:"Of one operation."`

	Concurrency []int         `short:"c" default:"16" help:"Clients at once; several numbers make several runs."`
	Subscribers []int         `help:"Subscribers of the event stream that are open meanwhile; several numbers make several runs."`
	Accounts    int           `default:"64" help:"Accounts to spread the operations over."`
	Duration    time.Duration `short:"d" default:"10s" help:"Of the measured part."`
	Requests    int64         `help:"Stop after so many operations (the duration is then a limit)."`
	Warmup      time.Duration `default:"2s" help:"Time before the measured part."`

	Records     int    `default:"-1" help:"Records that every account has before the run (-1: what the workload needs)."`
	RecordSize  int    `default:"100" help:"Characters of text in a record; more than 300 are not posts any more."`
	Batch       int    `default:"10" help:"Writes of one applyWrites."`
	BlobSize    int    `default:"10000" help:"Bytes of a file in upload-blob and get-blob."`
	Upstream    string `help:"Where the stand-in is that the server hands calls on to (proxied); when nobody listens there, one is started for the run. Give the server its DID, did:web:HOST%3APORT, and URL before."`
	AnswerSizes []int  `default:"1000,50000,5000000" help:"Bytes of an answer of the stand-in; several numbers make several runs."`
	Limit       int    `default:"50" help:"Page size of listRecords."`
	Reverse     bool   `help:"List records oldest first."`
	ReadBack    int    `default:"16" help:"Acknowledged creates per client that are read again after the run."`

	InviteCode    string `help:"Invite code for new accounts."`
	AdminPassword string `env:"PDS_ADMIN_PASSWORD" help:"Makes an invite code when the server wants one."`
	AccountsFile  string `help:"Where accounts are kept for the next run."`
	SetupClients  int    `default:"4" help:"Connections that prepare accounts and records."`

	Pids []int  `help:"The server's processes; their children count too."`
	Name string `help:"Name of the server in the results."`
	JSON bool   `help:"Print one JSON object per run."`
	Out  string `help:"Folder for JSON results." type:"path"`
}

func (r *runCmd) validate() error {
	switch {
	case len(r.Concurrency) == 0 || len(r.Concurrency) > 16:
		return errors.New("--concurrency takes one to 16 numbers")
	case r.Accounts < 1 || r.Accounts > 100_000:
		return errors.New("--accounts must be 1 to 100000")
	case r.Batch < 1 || r.Batch > maxBatch:
		return fmt.Errorf("--batch must be 1 to %d", maxBatch)
	case r.Limit < 1 || r.Limit > 100:
		return errors.New("--limit must be 1 to 100")
	case r.BlobSize < 64 || r.BlobSize > 100<<20:
		return errors.New("--blob-size must be 64 to 104857600")
	case r.RecordSize < 0 || r.RecordSize > 100_000:
		return errors.New("--record-size must be 0 to 100000")
	case r.Records > 1_000_000:
		return errors.New("--records must be at most 1000000")
	case r.Requests < 0 || r.Duration <= 0 || r.Warmup < 0 || r.Timeout <= 0:
		return errors.New("--requests, --duration, --warmup and --timeout must be positive")
	}
	for _, n := range r.Subscribers {
		if n < 0 || n > 20_000 {
			return errors.New("--subscribers must be 0 to 20000")
		}
	}
	for _, c := range r.Concurrency {
		if c < 1 || c > 900 {
			return errors.New("--concurrency must be 1 to 900")
		}
	}
	return r.validateProxied()
}

// Run prepares once and measures at every number of clients.
func (r *runCmd) Run(ctx context.Context) error {
	if err := r.validate(); err != nil {
		return err
	}
	t, err := newTarget(ctx, r.URL, r.Host, r.AllowRemote, r.Timeout)
	if err != nil {
		return err
	}
	proc := procfs.Here
	if _, err := proc.Usage(r.Pids); err != nil {
		return err
	}
	w := findWorkload(r.Workload)
	records := r.Records
	if records < 0 || records == 0 && w.records > 0 {
		records = w.records
	}
	var up *target
	if w.proxied {
		var stop func()
		if up, stop, err = reachUpstream(ctx, r.Upstream, r.Timeout); err != nil {
			return err
		}
		defer stop()
	}
	now := time.Now
	s := &setup{t: t, parallel: r.SetupClients, invite: r.InviteCode, admin: r.AdminPassword, nonce: newNonce()}
	p := &plan{t: t, setup: s, shape: newRecordShape(r.RecordSize, now()), records: records, batch: r.Batch, limit: r.Limit, blobSize: r.BlobSize, reverse: r.Reverse}
	if w.name != "health" {
		if err := s.describe(1_000_000); err != nil {
			return err
		}
	}
	if w.accounts {
		if err := r.prepare(ctx, s, p, w); err != nil {
			return err
		}
	}
	var failed error
	for _, run := range r.runs(w) {
		clients := run.clients
		p.clients, p.answerSize, p.nonce = clients, run.size, newNonce()
		if w.fresh {
			key := deleteKeys(p.nonce)
			err := s.each(ctx, len(p.accounts), func(c *conn, i int) error {
				for from := 0; from < records; from += p.shape.batch() {
					if err := s.write(c, p.accounts[i], p.shape, from, min(records, from+p.shape.batch()), key); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		l := &load{plan: p, work: w, warmup: r.Warmup, duration: r.Duration, requests: r.Requests, check: r.ReadBack, length: int64(run.size), roots: r.Pids, proc: proc, now: now}
		var without *result
		if w.proxied {
			if without, err = r.runDirect(ctx, l, up); err != nil {
				return err
			}
		}
		if run.subscribers > 0 {
			if l.watchers, err = watch(t, run.subscribers, now); err != nil {
				return err
			}
		}
		res, err := l.run(ctx)
		if err != nil {
			return err
		}
		if l.watchers != nil {
			l.watchers.result(res)
		}
		if without != nil {
			res.beside(without)
		}
		res.Name, res.URL = r.Name, r.URL
		if err := r.report(res); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if res.Deserted || res.Operations == 0 || res.Lost > 0 {
			failed = fmt.Errorf("%s with %d clients: %d operations, %d errors, %d lost writes", w.name, clients, res.Operations, res.Errors, res.Lost)
		}
	}
	return failed
}

// oneRun is a point to measure.
type oneRun struct{ size, clients, subscribers int }

func (r *runCmd) runs(w *workload) (out []oneRun) {
	subscribers, sizes := r.Subscribers, []int{0}
	if len(subscribers) == 0 {
		subscribers = []int{0}
	}
	if w.proxied {
		sizes = r.AnswerSizes
	}
	for _, size := range sizes {
		for _, c := range r.Concurrency {
			for _, s := range subscribers {
				out = append(out, oneRun{size, c, s})
			}
		}
	}
	return out
}

// prepare makes the accounts and the records. What was made is saved even when something fails half-way.
func (r *runCmd) prepare(ctx context.Context, s *setup, p *plan, w *workload) error {
	old, err := loadAccounts(r.AccountsFile, r.URL, r.Host)
	if err != nil {
		return err
	}
	lasting := 10*time.Minute + time.Duration(len(r.Concurrency))*(r.Warmup+r.Duration)
	all, err := s.accounts(ctx, old, r.Accounts, lasting)
	if err == nil && p.records > 0 && !w.fresh {
		err = s.prefill(ctx, all[:r.Accounts], p.shape, p.records)
	}
	if err == nil && w.blobs {
		err = s.fillBlobs(ctx, all[:r.Accounts], p.blobSize)
	}
	if saved := saveAccounts(r.AccountsFile, r.URL, r.Host, all); err == nil {
		err = saved
	}
	if err != nil {
		return err
	}
	p.accounts = all[:r.Accounts]
	return nil
}

func (r *runCmd) report(res *result) error {
	if r.Out != "" {
		if err := res.save(r.Out); err != nil {
			return err
		}
	}
	if r.JSON {
		return json.NewEncoder(os.Stdout).Encode(res)
	}
	res.print(os.Stdout)
	return nil
}
