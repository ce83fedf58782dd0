package account

import (
	"context"
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db/tenantdb"
)

// MaxTakedowns bounds what [OwnTakedowns] gives of records, and of blobs.
const MaxTakedowns = 200

// TakenDown is a record or a blob that operators have taken down.
type TakenDown struct {
	Collection, Key string // of a record
	CID             string
	Ref             string // whose decision it was, or when it was made
}

// OwnTakedowns are the records and the blobs of an account that are taken down, the first [MaxTakedowns] of each.
func OwnTakedowns(ctx context.Context, q *tenantdb.Queries, aid int64) (records, blobs []TakenDown, err error) {
	fail := func(err error) ([]TakenDown, []TakenDown, error) {
		return nil, nil, fmt.Errorf("takedowns of actor %d: %w", aid, err)
	}
	rows, err := q.ListRecordTakedowns(ctx, tenantdb.ListRecordTakedownsParams{AID: aid, MaxRows: MaxTakedowns})
	if err != nil {
		return fail(err)
	}
	for _, r := range rows {
		c, err := cid.Cast(r.CID)
		if err != nil {
			return fail(err)
		}
		collection, key, _ := strings.Cut(r.Path, "/")
		records = append(records, TakenDown{Collection: collection, Key: key, CID: c.String(), Ref: text(r.TakedownRef)})
	}
	files, err := q.ListBlobTakedowns(ctx, tenantdb.ListBlobTakedownsParams{AID: aid, MaxRows: MaxTakedowns})
	if err != nil {
		return fail(err)
	}
	for _, f := range files {
		c, err := cid.Cast(f.CID)
		if err != nil {
			return fail(err)
		}
		blobs = append(blobs, TakenDown{CID: c.String(), Ref: text(f.TakedownRef)})
	}
	return records, blobs, nil
}
