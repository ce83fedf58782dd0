package repodb

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo"
)

// Account is what a public read needs to know of the account it reads from.
type Account struct {
	AID         int64
	DID         string
	Handle      string // empty: invalid
	Deactivated bool
	Takendown   bool
}

// Record is one stored record.
type Record struct {
	Path      string
	CID       cid.Cid
	Value     []byte // DAG-CBOR
	Takendown bool
}

// GetRecord reads a record of the account with this DID or handle, and the account, in one statement. No such account:
// ErrRepoNotFound; no such record: ErrRecordNotFound, with the account. A replica is believed neither that there is no
// record, nor for an account that has changed since. The caller decides whether a record is shown
// that is taken down, or whose account is.
func (s *Store) GetRecord(ctx context.Context, schema db.Schema, didOrHandle, path string) (Account, Record, error) {
	q := s.db.Tenant(schema).Q()
	var row tenantdb.GetRecordByDIDRow
	var err error
	if len(didOrHandle) > 4 && didOrHandle[:4] == "did:" {
		row, err = q.GetRecordByDID(ctx, tenantdb.GetRecordByDIDParams{DID: didOrHandle, Path: path})
	} else {
		var r tenantdb.GetRecordByHandleRow
		r, err = q.GetRecordByHandle(ctx, tenantdb.GetRecordByHandleParams{Handle: didOrHandle, Path: path})
		row = tenantdb.GetRecordByDIDRow(r)
	}
	if db.IsNoRows(err) {
		return Account{}, Record{}, ErrRepoNotFound
	}
	if err != nil {
		return Account{}, Record{}, fmt.Errorf("read record of %s: %w", didOrHandle, err)
	}
	if db.Lent(ctx) && (row.CID == nil || !s.db.Covers(ctx, row.AID)) {
		db.Waive(ctx)
		return s.GetRecord(ctx, schema, didOrHandle, path)
	}
	a := Account{AID: row.AID, DID: row.DID, Deactivated: row.DeactivatedAt != nil, Takendown: row.TakedownRef != nil}
	if row.Handle != nil {
		a.Handle = *row.Handle
	}
	if row.CID == nil {
		return a, Record{}, ErrRecordNotFound
	}
	c, err := cid.Cast(row.CID)
	if err != nil {
		return a, Record{}, fmt.Errorf("%w: record %s of %s: %w", ErrCorrupt, path, a.DID, err)
	}
	return a, Record{Path: path, CID: c, Value: row.Value, Takendown: row.RecordTakedownRef != nil}, nil
}

// ListRecords lists a collection by record key, falling unless reverse, without what is taken down. after is the record
// key of the last page's last record, or empty. The page also ends with the record that makes it maxBytes or more.
func (s *Store) ListRecords(ctx context.Context, schema db.Schema, aid int64, collection, after string, limit int, maxBytes int64, reverse bool) ([]Record, error) {
	q := s.db.Tenant(schema).Q()
	lo, hi := collection+"/", collection+"0" // '0' follows '/'
	switch {
	case after != "" && reverse:
		lo += after
	case after != "":
		hi = collection + "/" + after
	}
	small := tenantdb.ListRecordsDescParams{AID: aid, Lo: lo, Hi: hi, MaxRows: int32(limit), MaxValue: int32(maxBytes / int64(limit))}
	large := tenantdb.ListLargeRecordsDescParams{AID: aid, Lo: lo, Hi: hi, MaxRows: int32(limit), MaxBytes: maxBytes}
	var out []Record
	var cut bool // a value is left out, and the page may be too long
	var err error
	if reverse {
		out, cut, err = recordsOf(q.ListRecordsAsc(ctx, tenantdb.ListRecordsAscParams(small)))
	} else {
		out, cut, err = recordsOf(q.ListRecordsDesc(ctx, small))
	}
	if err == nil && cut {
		if reverse {
			out, _, err = recordsOf(q.ListLargeRecordsAsc(ctx, tenantdb.ListLargeRecordsAscParams(large)))
		} else {
			out, _, err = recordsOf(q.ListLargeRecordsDesc(ctx, large))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list %s of %s: %w", collection, name(schema, aid), err)
	}
	return out, nil
}

// recordRow is a row of each of the lists.
type recordRow interface {
	tenantdb.ListRecordsDescRow | tenantdb.ListRecordsAscRow | tenantdb.ListLargeRecordsDescRow | tenantdb.ListLargeRecordsAscRow
}

// recordsOf reads rows; cut says that one has no value.
func recordsOf[R recordRow](rows []R, err error) (out []Record, cut bool, _ error) {
	if err != nil {
		return nil, false, err
	}
	out = make([]Record, len(rows))
	for i := range rows {
		r := tenantdb.ListRecordsDescRow(rows[i])
		c, err := cid.Cast(r.CID)
		if err != nil {
			return nil, false, fmt.Errorf("%w: record %s: %w", ErrCorrupt, r.Path, err)
		}
		out[i] = Record{Path: r.Path, CID: c, Value: r.Value}
		cut = cut || r.Value == nil
	}
	return out, cut, nil
}

// maxCollections bounds the collections of an account that are listed.
const maxCollections = 10_000

// Collections lists the collections that have records, in byte order of their paths.
func (s *Store) Collections(ctx context.Context, schema db.Schema, aid int64) ([]string, error) {
	list, err := s.db.Tenant(schema).Q().ListCollections(ctx, tenantdb.ListCollectionsParams{AID: aid, MaxRows: maxCollections})
	if err != nil {
		return nil, fmt.Errorf("collections of %s: %w", name(schema, aid), err)
	}
	return list, nil
}

// Status is a repository's newest commit and what keeps it from being shown.
type Status struct {
	AID         int64
	Head        repo.Head // without Data, in lists
	Block       []byte    // the signed commit; not in lists
	Deactivated bool
	Takendown   bool
}

// Head reads the newest commit. ErrRepoNotFound also if the sign-up has not finished.
func (s *Store) Head(ctx context.Context, schema db.Schema, aid int64) (Status, error) {
	st, _, err := readHead(ctx, s.db.Tenant(schema).Q(), aid)
	if err != nil {
		return Status{}, fmt.Errorf("head of %s: %w", name(schema, aid), err)
	}
	return st, nil
}

// readHead also gives the did:key of the account's signing key.
func readHead(ctx context.Context, q *tenantdb.Queries, aid int64) (st Status, public string, err error) {
	row, err := q.GetRepoHead(ctx, aid)
	if db.IsNoRows(err) || err == nil && (row.CreatingSince != nil || row.HeadCID == nil) {
		return Status{}, "", ErrRepoNotFound
	}
	if err != nil {
		return Status{}, "", err
	}
	h, err := decodeHead(row.DID, row.HeadCID, row.HeadRev, row.HeadCommit)
	if row.Public != nil {
		public = *row.Public
	}
	return Status{AID: aid, Head: h, Block: row.HeadCommit, Deactivated: row.DeactivatedAt != nil, Takendown: row.TakedownRef != nil}, public, err
}

// ListRepos lists repositories by account key, those of inactive accounts too.
func (s *Store) ListRepos(ctx context.Context, schema db.Schema, afterAID int64, limit int) ([]Status, error) {
	rows, err := s.db.Tenant(schema).Q().ListRepoHeads(ctx, tenantdb.ListRepoHeadsParams{AfterAID: afterAID, MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list repositories of %s: %w", schema, err)
	}
	out := make([]Status, len(rows))
	for i, r := range rows {
		c, err := cid.Cast(r.HeadCID)
		if err != nil {
			return nil, fmt.Errorf("%w: head of %s: %w", ErrCorrupt, name(schema, r.AID), err)
		}
		out[i] = Status{
			AID: r.AID, Head: repo.Head{DID: r.DID, CID: c, Rev: repo.TID(r.HeadRev)},
			Deactivated: r.DeactivatedAt != nil, Takendown: r.TakedownRef != nil,
		}
	}
	return out, nil
}
