package blob

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob/store"
)

// objects looks for the row of every object in the tenant's stores.
func (v *verifier) objects(ctx context.Context) error {
	for _, k := range v.blobs.Stores.known(v.schema) {
		if v.away[k.id] {
			continue
		}
		at, err := v.blobs.Stores.at(ctx, v.schema, k.id)
		if unusable(err) {
			if err := v.closed(ctx, k, err); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		var page []store.Found
		folder := ""
		flush := func() error {
			err := v.folder(ctx, k.id, at, folder, page)
			page = page[:0]
			return err
		}
		err = at.ListAll(ctx, v.schema.String(), func(f store.Found) error {
			v.sum.Objects++
			v.progress()
			if v.blobs.now().Sub(f.Modified) < v.opts.Young {
				v.sum.Young++ // taken back below when it has a row
			}
			dir := f.Object[:strings.LastIndexByte(f.Object, '/')+1]
			if dir != folder || len(page) == verifyPage {
				if err := flush(); err != nil {
					return err
				}
				folder = dir
			}
			page = append(page, f)
			return nil
		})
		if err == nil {
			err = flush()
		}
		if unusable(err) {
			if err := v.closed(ctx, k, err); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("objects in %s: %w", k.location, err)
		}
		v.sum.StoresChecked++
	}
	return nil
}

// unusable tells that it is the store that fails, not the database.
func unusable(err error) bool {
	return errors.Is(err, ErrLocation) || errors.Is(err, ErrStore) || errors.Is(err, ErrStoreTimeout)
}

// closed is for a store that cannot be opened or listed. One that nothing is in, like a bucket that was given up after a
// move, is nobody's concern.
func (v *verifier) closed(ctx context.Context, k storeRow, why error) error {
	n, err := v.t.Q().CountBlobsIn(ctx, k.id)
	if err != nil || n.Blobs == 0 {
		return err
	}
	return v.tell(Problem{Kind: "unreadable", Text: fmt.Sprintf("%s, where %d files are: %v", k.location, n.Blobs, why)}, nil)
}

// folder holds objects of one account against its rows.
func (v *verifier) folder(ctx context.Context, id int16, at *store.Store, folder string, page []store.Found) error {
	if len(page) == 0 {
		return nil
	}
	aid, err := v.owner(ctx, folder)
	if err != nil {
		return err
	}
	expected, err := v.expected(ctx, id, aid, page)
	if err != nil {
		return err
	}
	for _, f := range page {
		young := v.blobs.now().Sub(f.Modified) < v.opts.Young
		if young && expected[f.Object] {
			v.sum.Young--
		}
		if young || expected[f.Object] {
			continue
		}
		// It may have been deleted, trash entry and all, since it was listed.
		if _, err := at.Stat(ctx, f.Object); errors.Is(err, store.ErrMissing) {
			continue
		} else if err != nil {
			return err
		}
		err := v.tell(Problem{Kind: "orphan", AID: aid, Object: f.Object, Text: fmt.Sprintf("%d bytes in %s that no row knows of", f.Size, at.Location)}, func() error {
			return v.t.Q().InsertBlobTrash(ctx, tenantdb.InsertBlobTrashParams{Store: id, Object: f.Object, DueAt: v.blobs.now()})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// expected says which of an account's objects have a row, or are in the trash.
func (v *verifier) expected(ctx context.Context, id int16, aid int64, page []store.Found) (map[string]bool, error) {
	var cids [][]byte
	var names []string
	for _, f := range page {
		if c, ok := store.CIDOf(f.Object); ok {
			cids = append(cids, c.Bytes())
		}
		names = append(names, f.Object)
	}
	// An account that was deleted a moment ago has its rows until the purge comes to them.
	aids, err := v.t.Q().ListPurges(ctx, verifyPage)
	if err != nil {
		return nil, err
	}
	rows, err := v.t.Q().ListBlobObjects(ctx, tenantdb.ListBlobObjectsParams{Aids: append(aids, aid), Cids: cids})
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, r := range rows {
		if r.Store == id {
			out[r.Object] = true
		}
	}
	trashed, err := v.t.Q().ListBlobTrashed(ctx, tenantdb.ListBlobTrashedParams{Store: id, Objects: names})
	for _, o := range trashed {
		out[o] = true
	}
	return out, err
}

// owner is the account that a folder belongs to, 0 for one that is no more.
func (v *verifier) owner(ctx context.Context, folder string) (int64, error) {
	parts := strings.Split(strings.TrimSuffix(folder, "/"), "/")
	name := parts[len(parts)-1]
	if !strings.HasPrefix(name, "sha256-") {
		rows, err := v.t.Q().GetActorAIDs(ctx, []string{name})
		if err != nil || len(rows) == 0 {
			return 0, err
		}
		return rows[0].AID, nil
	}
	if v.hashed == nil {
		v.hashed = map[string]int64{}
		after := int64(0)
		for {
			rows, err := v.t.Q().ListBlobAccounts(ctx, tenantdb.ListBlobAccountsParams{AfterAID: after, MaxRows: 10000})
			if err != nil {
				return 0, err
			}
			if len(rows) == 0 {
				break
			}
			for _, r := range rows {
				after = r.AID
				if f := store.FolderOf(r.DID); f != r.DID {
					v.hashed[f] = r.AID
				}
			}
		}
	}
	return v.hashed[name], nil
}
