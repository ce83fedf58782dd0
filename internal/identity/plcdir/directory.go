package plcdir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/did-method-plc/go-didplc"
)

var errCorrupt = errors.New("the directory's log is corrupt")

const (
	// seqCounter is the row of control.counter that every writer locks.
	seqCounter = "plc_seq"
	// maxLog bounds a DID's log. A hundred operations a week take two years.
	maxLog = 10_000
)

// Directory is the built-in PLC directory. It is safe for concurrent use, also
// by several processes on one database.
type Directory struct {
	db     *db.DB
	now    func() time.Time
	limits bool
}

var _ identity.Directory = (*Directory)(nil)

// New makes a directory over the control schema. rateLimits turns plc.directory's
// limits per DID on (10 operations an hour, 30 a day, 100 a week).
func New(d *db.DB, now func() time.Time, rateLimits bool) *Directory {
	return &Directory{d, now, rateLimits}
}

// Resolve implements [identity.Directory].
func (d *Directory) Resolve(ctx context.Context, did string) (*identity.Document, error) {
	op, err := d.Last(ctx, did)
	if err != nil {
		return nil, err
	}
	return identity.PLCDocument(did, op)
}

// Last implements [identity.Directory].
func (d *Directory) Last(ctx context.Context, did string) (didplc.Operation, error) {
	if err := identity.CheckPLC(did); err != nil {
		return nil, err
	}
	row, err := d.db.Control().GetLastPLCOperation(ctx, did)
	if db.IsNoRows(err) {
		return nil, fmt.Errorf("%s: %w", did, identity.ErrDIDNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("last PLC operation of %s: %w: %w", did, identity.ErrDIDUnavailable, err)
	}
	e, err := fromRow(row)
	return e.op, err
}

// Submit implements [identity.Directory]: sending the newest operation again is
// no error.
func (d *Directory) Submit(ctx context.Context, did string, op didplc.Operation) error {
	err := d.submit(ctx, did, op)
	if errors.Is(err, identity.ErrOperationConflict) {
		if last, lastErr := d.Last(ctx, did); lastErr == nil && last.CID().Equals(op.CID()) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("submit PLC operation of %s: %w", did, err)
	}
	return nil
}

// submit validates and stores. The counter's row is locked first, so that
// operations are accepted one after the other: what is validated against is
// what it will follow.
func (d *Directory) submit(ctx context.Context, did string, op didplc.Operation) error {
	if err := identity.CheckPLC(did); err != nil {
		return invalid("Invalid DID")
	}
	if err := checkForm(op); err != nil {
		return err
	}
	operation, err := identity.MarshalOperation(op)
	if err != nil {
		return err
	}
	if bytes.Contains(operation, []byte(`\u0000`)) { // Postgres cannot keep it in jsonb
		return invalid("Not a valid operation: NUL in a string")
	}
	err = d.db.ControlTx(ctx, func(q *controldb.Queries) error {
		seq, err := q.LockNextCounter(ctx, seqCounter)
		if err != nil {
			return fmt.Errorf("lock %s: %w", seqCounter, err)
		}
		log, err := readLog(ctx, q, did)
		if err != nil {
			return err
		}
		at := nextTime(log, d.now())
		nullified, err := checkNext(did, active(log), op, at)
		if err != nil {
			return err
		}
		if d.limits && len(nullified) == 0 {
			if err := checkRate(active(log), at); err != nil {
				return err
			}
		}
		if len(log) >= maxLog {
			return &refusal{"To many operations", identity.ErrOperationRate}
		}
		if err := q.InsertPLCOperation(ctx, controldb.InsertPLCOperationParams{
			DID: did, CID: op.CID().String(), Seq: seq, Operation: operation, CreatedAt: at,
		}); err != nil {
			if _, dup := db.IsUnique(err); dup { // it is there, nullified
				return errOrder
			}
			return fmt.Errorf("insert PLC operation: %w", err)
		}
		if len(nullified) == 0 {
			return nil
		}
		return q.UpdatePLCOperationsNullified(ctx, controldb.UpdatePLCOperationsNullifiedParams{DID: did, Cids: nullified})
	})
	var refused *refusal
	if err == nil || errors.As(err, &refused) {
		return err
	}
	return fmt.Errorf("%w: %w", identity.ErrDIDUnavailable, err)
}

// nextTime is now in the milliseconds that clients see, and later than the log.
func nextTime(log []entry, now time.Time) time.Time {
	at := now.UTC().Truncate(time.Millisecond)
	if n := len(log); n > 0 && !at.After(log[n-1].createdAt) {
		at = log[n-1].createdAt.Add(time.Millisecond)
	}
	return at
}

func readLog(ctx context.Context, q *controldb.Queries, did string) ([]entry, error) {
	rows, err := q.ListPLCOperations(ctx, controldb.ListPLCOperationsParams{DID: did, MaxRows: maxLog})
	if err != nil {
		return nil, fmt.Errorf("read PLC log of %s: %w", did, err)
	}
	log := make([]entry, len(rows))
	for i, row := range rows {
		if log[i], err = fromRow(row); err != nil {
			return nil, err
		}
	}
	return log, nil
}

func fromRow(row controldb.PlcOperation) (entry, error) {
	op, err := identity.ParseOperation(row.Operation)
	if err != nil {
		return entry{}, fmt.Errorf("stored operation %s of %s: %w", row.CID, row.DID, errCorrupt)
	}
	return entry{row.CID, op, row.Nullified, row.CreatedAt.UTC()}, nil
}
