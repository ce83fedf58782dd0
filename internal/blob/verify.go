package blob

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo/dagcbor"
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
// does the row of a blob that is taken down. When a place with blobs is not the one that the database knows, nothing is
// repaired.
func (s *Store) Verify(ctx context.Context, schema db.Schema, o VerifyOptions, each func(Problem) error) (Verified, error) {
	if o.Young == 0 {
		o.Young = staleUpload
	}
	v := &verifier{s: s, t: s.db.Tenant(schema), schema: schema, opts: o, each: each, away: map[int16]bool{}}
	if err := s.learn(ctx, schema); err != nil {
		return v.sum, err
	}
	if err := v.places(ctx); err != nil {
		return v.sum, err
	}
	for _, step := range []func(context.Context) error{v.references, v.states, v.rows, v.misplaced, v.objects, v.trash, v.counters} {
		if err := step(ctx); err != nil {
			return v.sum, err
		}
	}
	return v.sum, nil
}

type verifier struct {
	s      *Store
	t      *db.Tenant
	schema db.Schema
	opts   VerifyOptions
	each   func(Problem) error
	sum    Verified
	failed int              // how many in a row could not be read
	hashed map[string]int64 // accounts by folders that are not their DID: see owner
	away   map[int16]bool   // places that are not the ones that the database knows
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

// references holds record_blob against the records, one account and one moment at a time.
func (v *verifier) references(ctx context.Context) error {
	after := int64(0)
	for {
		accounts, err := v.t.Q().ListBlobAccounts(ctx, tenantdb.ListBlobAccountsParams{AfterAID: after, MaxRows: verifyPage})
		if err != nil || len(accounts) == 0 {
			return err
		}
		for _, a := range accounts {
			after = a.AID
			v.progress()
			if err := v.referencesOf(ctx, a.AID, a.DID); err != nil {
				return fmt.Errorf("references of %s: %w", a.DID, err)
			}
		}
	}
}

type reference struct{ path, cid string }

func (v *verifier) referencesOf(ctx context.Context, aid int64, did string) error {
	stored := map[reference]bool{} // true: the record says so too
	want := map[reference]string{} // what is missing, and its type
	var broken []Problem
	err := v.t.ReadTx(ctx, func(tx *db.ReadTx) error {
		err := tx.Stream(ctx, tenantdb.ListRecordBlobs, []any{aid}, func(raw [][]byte) error {
			stored[reference{string(raw[0]), string(raw[1])}] = false
			return nil
		})
		if err != nil {
			return err
		}
		return tx.Stream(ctx, tenantdb.ListRecordsWithBlobs, []any{aid}, func(raw [][]byte) error {
			refs, err := dagcbor.Blobs(raw[1])
			path := string(raw[0])
			if err != nil { // what it referred to is kept
				broken = append(broken, Problem{Kind: "record", AID: aid, DID: did, Text: path + " cannot be read: " + err.Error()})
				for k := range stored {
					stored[k] = stored[k] || k.path == path
				}
				return nil
			}
			for _, r := range refs {
				k := reference{path, r.CID.KeyString()}
				if _, ok := stored[k]; ok {
					stored[k] = true
				} else {
					want[k] = r.MimeType
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	v.sum.References += int64(len(stored))
	for _, p := range broken {
		if err := v.tell(p, nil); err != nil {
			return err
		}
	}
	for k, right := range stored {
		if right {
			continue
		}
		err := v.tell(Problem{Kind: "reference", AID: aid, DID: did, CID: cidText(k.cid), Text: "a reference of " + k.path + ", which has none"}, func() error {
			return v.locked(ctx, aid, func(q *tenantdb.Queries) error {
				return q.DeleteRecordBlob(ctx, tenantdb.DeleteRecordBlobParams{AID: aid, CID: []byte(k.cid), CIDText: cidText(k.cid), Path: k.path})
			})
		})
		if err != nil {
			return err
		}
	}
	for k, mime := range want {
		err := v.tell(Problem{Kind: "reference", AID: aid, DID: did, CID: cidText(k.cid), Text: k.path + " refers to it, and it is not noted"}, func() error {
			return v.locked(ctx, aid, func(q *tenantdb.Queries) error {
				return q.UpsertRecordBlobTrue(ctx, tenantdb.UpsertRecordBlobTrueParams{AID: aid, CID: []byte(k.cid), CIDText: cidText(k.cid), Path: k.path, MimeType: mime})
			})
		})
		if err != nil {
			return err
		}
	}
	missing, err := v.t.Q().CountMissingBlobs(ctx, aid)
	v.sum.Missing += missing
	return err
}

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
				return q.UpdateBlobTemporaryTrue(ctx, tenantdb.UpdateBlobTemporaryTrueParams{AID: r.AID, CID: r.CID, Now: v.s.now()})
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
				return q.InsertBlobTrash(ctx, tenantdb.InsertBlobTrashParams{Store: r.Store, Object: r.Object, DueAt: v.s.now()})
			})
		})
	}
}

// bytes says what is wrong with a blob's object, "" when nothing.
func (v *verifier) bytes(ctx context.Context, r tenantdb.ListBlobsInRow) (kind, text string, err error) {
	p, err := v.s.placeOf(ctx, v.schema, r.Store)
	if err != nil {
		return "", "", err
	}
	size, err := p.stat(ctx, r.Object)
	switch {
	case errors.Is(err, errMissing):
		return "lost", "its bytes are not in " + p.location, v.s.surely(ctx, p)
	case err != nil:
		return "", "", err
	case size != r.Size:
		return "wrong", fmt.Sprintf("it has %d bytes in %s, not %d", size, p.location, r.Size), nil
	case !v.opts.Deep:
		return "", "", nil
	}
	f, _, err := p.open(ctx, r.Object)
	if errors.Is(err, errMissing) {
		return "lost", "its bytes are not in " + p.location, v.s.surely(ctx, p)
	}
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	got, err := digest(f)
	if err != nil {
		return "", "", err
	}
	if string(got.Bytes()) != string(r.CID) {
		return "wrong", "its bytes in " + p.location + " are those of " + got.String(), nil
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
