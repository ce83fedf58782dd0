package plcdir

import (
	"context"
	"time"

	"github.com/auroralocus/locus/db/controldb"
)

// insertAsIs stores an operation that is accepted no more but may be in a log.
func insertAsIs(ctx context.Context, d *Directory, l auditLine, at time.Time) error {
	return d.db.ControlTx(ctx, func(q *controldb.Queries) error {
		seq, err := q.LockNextCounter(ctx, seqCounter)
		if err != nil {
			return err
		}
		return q.InsertPLCOperation(ctx, controldb.InsertPLCOperationParams{DID: l.DID, CID: l.CID, Seq: seq, Operation: l.Operation, CreatedAt: at})
	})
}
