package blob

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/auroralocus/locus/db/tenantdb"
)

// objects looks for the row of every object in the tenant's stores.
func (v *verifier) objects(ctx context.Context) error {
	for _, k := range v.s.sites(v.schema) {
		if v.away[k.id] {
			continue
		}
		p, err := v.s.placeOf(ctx, v.schema, k.id)
		if unusable(err) {
			if err := v.closed(ctx, k, err); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		var page []found
		folder := ""
		flush := func() error {
			err := v.folder(ctx, k.id, p, folder, page)
			page = page[:0]
			return err
		}
		err = p.everything(ctx, v.schema, func(f found) error {
			v.sum.Objects++
			v.progress()
			if v.s.now().Sub(f.modified) < v.opts.Young {
				v.sum.Young++ // taken back below when it has a row
			}
			dir := f.object[:strings.LastIndexByte(f.object, '/')+1]
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

// unusable tells that it is the place that fails, not the database.
func unusable(err error) bool {
	return errors.Is(err, ErrLocation) || errors.Is(err, ErrStore) || errors.Is(err, ErrStoreTimeout)
}

// closed is for a place that cannot be opened or listed. One that nothing is in, like a bucket that was given up after a move, is
// nobody's concern.
func (v *verifier) closed(ctx context.Context, k site, why error) error {
	n, err := v.t.Q().CountBlobsIn(ctx, k.id)
	if err != nil || n.Blobs == 0 {
		return err
	}
	return v.tell(Problem{Kind: "unreadable", Text: fmt.Sprintf("%s, where %d files are: %v", k.location, n.Blobs, why)}, nil)
}

// folder holds objects of one account against its rows.
func (v *verifier) folder(ctx context.Context, id int16, p *place, folder string, page []found) error {
	if len(page) == 0 {
		return nil
	}
	aid, err := v.owner(ctx, folder)
	if err != nil {
		return err
	}
	var cids [][]byte
	var names []string
	for _, f := range page {
		if c, ok := cidOf(f.object); ok {
			cids = append(cids, c.Bytes())
		}
		names = append(names, f.object)
	}
	// An account that was deleted a moment ago has its rows until the purge comes to them.
	aids, err := v.t.Q().ListPurges(ctx, verifyPage)
	if err != nil {
		return err
	}
	rows, err := v.t.Q().ListBlobObjects(ctx, tenantdb.ListBlobObjectsParams{Aids: append(aids, aid), Cids: cids})
	if err != nil {
		return err
	}
	has := map[string]bool{}
	for _, r := range rows {
		if r.Store == id {
			has[r.Object] = true
		}
	}
	trashed, err := v.t.Q().ListBlobTrashed(ctx, tenantdb.ListBlobTrashedParams{Store: id, Objects: names})
	if err != nil {
		return err
	}
	inTrash := map[string]bool{}
	for _, o := range trashed {
		inTrash[o] = true
	}
	for _, f := range page {
		young := v.s.now().Sub(f.modified) < v.opts.Young
		if young && (has[f.object] || inTrash[f.object]) {
			v.sum.Young--
		}
		if has[f.object] || inTrash[f.object] || young {
			continue
		}
		// It may have been deleted, trash entry and all, since it was listed.
		if _, err := p.stat(ctx, f.object); errors.Is(err, errMissing) {
			continue
		} else if err != nil {
			return err
		}
		err := v.tell(Problem{Kind: "orphan", AID: aid, Object: f.object, Text: fmt.Sprintf("%d bytes in %s that no row knows of", f.size, p.location)}, func() error {
			return v.t.Q().InsertBlobTrash(ctx, tenantdb.InsertBlobTrashParams{Store: id, Object: f.object, DueAt: v.s.now()})
		})
		if err != nil {
			return err
		}
	}
	return nil
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
				if f := didFolder(r.DID); f != r.DID {
					v.hashed[f] = r.AID
				}
			}
		}
	}
	return v.hashed[name], nil
}
