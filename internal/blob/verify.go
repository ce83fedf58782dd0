package blob

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob/store"
)

// Problem is something that verify found.
type Problem struct {
	Kind     string `json:"kind"` // away, lost, wrong, unreadable, place, orphan, record, reference, state, trash, count
	AID      int64  `json:"aid,omitzero"`
	DID      string `json:"did,omitzero"`
	CID      string `json:"cid,omitzero"`
	Object   string `json:"object,omitzero"`
	Text     string `json:"text"`
	Repaired bool   `json:"repaired,omitzero"`
}

// VerifyOptions say how thoroughly.
type VerifyOptions struct {
	Deep   bool // read every blob and hash it
	Repair bool
	// RowsOnly asks no store: somebody else knows where the bytes are.
	RowsOnly bool
	// Progress is called now and then; nil: not.
	Progress func(Verified)
	// Young is how old an object without a row must be to be an orphan: younger ones may be uploads on their way, or
	// what a crash left and the sweep will find. Default one hour.
	Young time.Duration
}

// Verified sums up.
type Verified struct {
	Blobs, Bytes  int64 // rows
	Objects       int64 // in the stores
	References    int64 // of records to blobs
	Missing       int64 // blobs that records refer to and that were never uploaded here
	Young         int64 // objects without a row that are too young to be orphans
	Problems      int64
	Repaired      int64
	StoresChecked int
}

// Verify holds a tenant's rows against its stores, its references against its records and its counters against what
// they count, while the tenant serves. What it finds is looked at again before it is told.
//
// Repairing: a row without its bytes goes, and listMissingBlobs tells the account; an object without a row goes to the
// trash; references, states and counters become what records and rows say. What cannot be read stays as it is, and so
// does the row of a blob that is taken down. When a store with blobs is not the one that the database knows, nothing is
// repaired.
func (b *Blobs) Verify(ctx context.Context, schema db.Schema, o VerifyOptions, each func(Problem) error) (Verified, error) {
	if o.Young == 0 {
		o.Young = staleUpload
	}
	v := &verifier{blobs: b, t: b.db.Tenant(schema), schema: schema, opts: o, each: each, away: map[int16]bool{}}
	if err := b.Stores.learn(ctx, schema); err != nil {
		return v.sum, err
	}
	steps := []func(context.Context) error{v.stores, v.references, v.states, v.rows, v.misplaced, v.objects, v.trash, v.counters}
	if o.RowsOnly {
		steps = []func(context.Context) error{v.references, v.states, v.trash, v.counters}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return v.sum, err
		}
	}
	return v.sum, nil
}

type verifier struct {
	blobs  *Blobs
	t      *db.Tenant
	schema db.Schema
	opts   VerifyOptions
	each   func(Problem) error
	sum    Verified
	failed int              // how many in a row could not be read
	hashed map[string]int64 // accounts by folders that are not their DID: see owner
	away   map[int16]bool   // stores that are not the ones that the database knows
}

// tell repairs, if that is wanted, and tells.
func (v *verifier) tell(p Problem, repair func() error) error {
	if v.opts.Repair && repair != nil {
		if err := repair(); err != nil {
			return fmt.Errorf("repair %s %s: %w", p.Kind, p.Object+p.CID, err)
		}
		p.Repaired = true
		v.sum.Repaired++
	}
	v.sum.Problems++
	return v.each(p)
}

// locked runs body with the account's lock held: references and states stand still.
func (v *verifier) locked(ctx context.Context, aid int64, body func(q *tenantdb.Queries) error) error {
	return v.t.Tx(ctx, func(q *tenantdb.Queries) error {
		if err := q.LockBlobOwners(ctx, []int64{aid}); err != nil {
			return err
		}
		return body(q)
	})
}

const verifyPage = 500

// states holds each blob's state against its references: one statement, one moment.
func (v *verifier) states(ctx context.Context) error {
	rows, err := v.t.Q().ListBlobsWronglyKept(ctx, 10000)
	if err != nil {
		return fmt.Errorf("states: %w", err)
	}
	for _, r := range rows {
		text := "permanent, and nothing refers to it"
		if r.Temporary {
			text = "temporary, and a record refers to it"
		}
		err := v.tell(Problem{Kind: "state", AID: r.AID, CID: cidText(string(r.CID)), Text: text}, func() error {
			return v.locked(ctx, r.AID, func(q *tenantdb.Queries) error {
				return q.UpdateBlobTemporaryTrue(ctx, tenantdb.UpdateBlobTemporaryTrueParams{AID: r.AID, CID: r.CID, Now: v.blobs.now()})
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rows looks for the bytes of every blob.
func (v *verifier) rows(ctx context.Context) error {
	after := tenantdb.ListBlobsInParams{AfterCID: []byte{}, MaxRows: verifyPage}
	for {
		rows, err := v.t.Q().ListBlobsIn(ctx, after)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			after.AfterAID, after.AfterCID = r.AID, r.CID
			v.progress()
			if err := v.row(ctx, r); err != nil {
				return fmt.Errorf("blob %s of %s: %w", cidText(string(r.CID)), r.DID, err)
			}
		}
	}
}

// maxUnreadable is how many blobs in a row may be unreadable before it is the store that is: a disk's bad sector is one
// file's trouble, a store that is out would be told of every file.
const maxUnreadable = 10

func (v *verifier) row(ctx context.Context, r tenantdb.ListBlobsInRow) error {
	for {
		if v.away[r.Store] {
			return nil // told
		}
		kind, text, err := v.bytes(ctx, r)
		switch {
		case err == nil:
			v.failed = 0
		case ctx.Err() != nil || v.failed == maxUnreadable || errors.Is(err, ErrAway):
			return err
		default:
			v.failed++
			kind, text = "unreadable", err.Error()
		}
		if kind == "" {
			v.sum.Blobs++
			v.sum.Bytes += r.Size
			return nil
		}
		now, err := v.t.Q().GetBlob(ctx, tenantdb.GetBlobParams{AID: r.AID, CID: r.CID})
		switch {
		case db.IsNoRows(err):
			return nil // deleted meanwhile
		case err != nil:
			return err
		case now.Object != r.Object || now.Store != r.Store:
			r.Store, r.Object = now.Store, now.Object // moved meanwhile
			continue
		}
		v.sum.Blobs++
		v.sum.Bytes += r.Size
		p := Problem{Kind: kind, AID: r.AID, DID: r.DID, CID: cidText(string(r.CID)), Object: r.Object, Text: text}
		switch {
		case kind == "unreadable": // it may be there another time
			return v.tell(p, nil)
		case now.TakedownRef != nil: // or the same bytes could be uploaded again
			p.Text += "; it is taken down, and its row stays for that"
			return v.tell(p, nil)
		}
		return v.tell(p, func() error {
			return v.locked(ctx, r.AID, func(q *tenantdb.Queries) error {
				n, err := q.DeleteLostBlob(ctx, tenantdb.DeleteLostBlobParams{AID: r.AID, CID: r.CID, Store: r.Store, Object: r.Object})
				if err != nil || n == 0 || kind == "lost" {
					return err
				}
				return q.InsertBlobTrash(ctx, tenantdb.InsertBlobTrashParams{Store: r.Store, Object: r.Object, DueAt: v.blobs.now()})
			})
		})
	}
}

// bytes says what is wrong with a blob's object, "" when nothing.
func (v *verifier) bytes(ctx context.Context, r tenantdb.ListBlobsInRow) (kind, text string, err error) {
	at, err := v.blobs.Stores.at(ctx, v.schema, r.Store)
	if err != nil {
		return "", "", err
	}
	size, err := at.Stat(ctx, r.Object)
	switch {
	case errors.Is(err, store.ErrMissing):
		return "lost", "its bytes are not in " + at.Location, at.Surely(ctx)
	case err != nil:
		return "", "", err
	case size != r.Size:
		return "wrong", fmt.Sprintf("it has %d bytes in %s, not %d", size, at.Location, r.Size), nil
	case !v.opts.Deep:
		return "", "", nil
	}
	f, _, err := at.Open(ctx, r.Object)
	if errors.Is(err, store.ErrMissing) {
		return "lost", "its bytes are not in " + at.Location, at.Surely(ctx)
	}
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	got, err := store.Digest(f)
	if err != nil {
		return "", "", err
	}
	if string(got.Bytes()) != string(r.CID) {
		return "wrong", "its bytes in " + at.Location + " are those of " + got.String(), nil
	}
	return "", "", nil
}

// trash looks for blobs whose object is to be deleted.
func (v *verifier) trash(ctx context.Context) error {
	rows, err := v.t.Q().ListBlobsInTrash(ctx, 10000)
	if err != nil {
		return fmt.Errorf("trash: %w", err)
	}
	for _, r := range rows {
		err := v.tell(Problem{Kind: "trash", AID: r.AID, CID: cidText(string(r.CID)), Object: r.Object, Text: "there, and in the trash"}, func() error {
			return v.t.Q().DeleteBlobTrash(ctx, tenantdb.DeleteBlobTrashParams{Stores: []int16{r.Store}, Objects: []string{r.Object}})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// counters holds the usage against the rows: one statement, one moment.
func (v *verifier) counters(ctx context.Context) error {
	rows, err := v.t.Q().ListBlobMiscounts(ctx, 10000)
	if err != nil {
		return fmt.Errorf("counters: %w", err)
	}
	for _, r := range rows {
		text := fmt.Sprintf("%d blobs of %d bytes, counted as %d of %d", r.Blobs, r.Bytes, r.CountedBlobs, r.CountedBytes)
		err := v.tell(Problem{Kind: "count", AID: r.AID, Text: text}, func() error {
			return v.locked(ctx, r.AID, func(q *tenantdb.Queries) error { return q.UpdateBlobUsageTrue(ctx, r.AID) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) progress() {
	if v.opts.Progress != nil {
		v.opts.Progress(v.sum)
	}
}

func cidText(raw string) string {
	c, err := cid.Cast([]byte(raw))
	if err != nil {
		return fmt.Sprintf("%x", raw)
	}
	return c.String()
}
