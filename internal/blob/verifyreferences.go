package blob

import (
	"context"
	"fmt"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo/dagcbor"
)

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

// compared is what is noted of an account's references beside what its records say.
type compared struct {
	stored map[reference]bool   // true: the record says so too
	want   map[reference]string // what is missing, and its type
	broken []Problem
}

func (v *verifier) referencesOf(ctx context.Context, aid int64, did string) error {
	c, err := v.compare(ctx, aid, did)
	if err != nil {
		return err
	}
	v.sum.References += int64(len(c.stored))
	for _, p := range c.broken {
		if err := v.tell(p, nil); err != nil {
			return err
		}
	}
	for k, right := range c.stored {
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
	for k, mime := range c.want {
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

// compare reads both at one moment.
func (v *verifier) compare(ctx context.Context, aid int64, did string) (compared, error) {
	c := compared{stored: map[reference]bool{}, want: map[reference]string{}}
	err := v.t.ReadTx(ctx, func(tx *db.ReadTx) error {
		err := tx.Stream(ctx, tenantdb.ListRecordBlobs, []any{aid}, func(raw [][]byte) error {
			c.stored[reference{string(raw[0]), string(raw[1])}] = false
			return nil
		})
		if err != nil {
			return err
		}
		return tx.Stream(ctx, tenantdb.ListRecordsWithBlobs, []any{aid}, func(raw [][]byte) error {
			refs, err := dagcbor.Blobs(raw[1])
			path := string(raw[0])
			if err != nil { // what it referred to is kept
				c.broken = append(c.broken, Problem{Kind: "record", AID: aid, DID: did, Text: path + " cannot be read: " + err.Error()})
				for k := range c.stored {
					c.stored[k] = c.stored[k] || k.path == path
				}
				return nil
			}
			for _, r := range refs {
				k := reference{path, r.CID.KeyString()}
				if _, ok := c.stored[k]; ok {
					c.stored[k] = true
				} else {
					c.want[k] = r.MimeType
				}
			}
			return nil
		})
	})
	return c, err
}
