package repodb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/mst"
)

// maxProblems bounds what a report lists: a repository that is broken is often broken everywhere.
const maxProblems = 50

// Report is what a check found.
type Report struct {
	AID      int64
	DID      string
	Rev      repo.TID
	Records  int
	Bytes    int64 // of the records
	Nodes    int
	Events   int
	Problems []string // none: all is well
}

// OK tells whether nothing is wrong.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

func (r *Report) problem(format string, args ...any) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// Check proves one repository at one moment: the tree rebuilt from the records has the signed root, and its nodes are
// the stored ones, position by position and no more; every block has its CID; the newest commit is signed with the
// account's key; backlinks are those of the records; the counters are right; and the events kept form a chain, each of
// which can be undone to the state before from its own blocks, up to the newest commit.
//
// The error is of reading; what is wrong is in the report.
func (s *Store) Check(ctx context.Context, schema db.Schema, aid int64) (Report, error) {
	r := Report{AID: aid}
	err := s.db.Tenant(schema).ReadTx(ctx, func(tx *db.ReadTx) (err error) {
		r, err = CheckIn(ctx, tx, aid)
		return err
	})
	if err != nil {
		return r, fmt.Errorf("check %s: %w", name(schema, aid), err)
	}
	return r, nil
}

// CheckIn is Check in a transaction that there is.
func CheckIn(ctx context.Context, tx *db.ReadTx, aid int64) (Report, error) {
	r := Report{AID: aid}
	err := checkRepo(ctx, tx, &r)
	return r, err
}

// CheckTenant checks every repository of a tenant, and that no event is missing between the oldest kept and the newest.
// each is called for every repository; its error ends the check. The last report, with AID 0, is of the stream.
func (s *Store) CheckTenant(ctx context.Context, schema db.Schema, each func(Report) error) error {
	for after := int64(0); ; {
		page, err := s.ListRepos(ctx, schema, after, 500)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, st := range page {
			r, err := s.Check(ctx, schema, st.AID)
			if err != nil && !errors.Is(err, ErrRepoNotFound) { // deleted meanwhile
				return err
			}
			if err := each(r); err != nil {
				return err
			}
			after = st.AID
		}
	}
	holes, err := s.db.Tenant(schema).Q().CountSeqHoles(ctx)
	if err != nil {
		return fmt.Errorf("check stream of %s: %w", schema, err)
	}
	var r Report
	if holes != 0 {
		r.problem("%d sequence numbers have no event", holes)
	}
	totals, err := s.db.Tenant(schema).Q().GetRecordTotals(ctx)
	if err != nil {
		return fmt.Errorf("check counters of %s: %w", schema, err)
	}
	if totals.Records != totals.SumRecords || totals.RecordBytes != totals.SumBytes {
		r.problem("%d records with %d bytes are counted for the tenant, its accounts have %d with %d (--recount mends it)",
			totals.Records, totals.RecordBytes, totals.SumRecords, totals.SumBytes)
	}
	return each(r)
}

func checkRepo(ctx context.Context, tx *db.ReadTx, r *Report) error {
	st, public, err := readHead(ctx, tx.Q(), r.AID)
	if errors.Is(err, ErrCorrupt) {
		r.problem("%v", err)
		return nil
	}
	if err != nil {
		return err
	}
	r.DID, r.Rev = st.Head.DID, st.Head.Rev
	checkHead(r, st, public)
	if err := checkTree(ctx, tx, r, st.Head); err != nil {
		return err
	}
	if err := checkCounts(ctx, tx, r); err != nil {
		return err
	}
	return checkEvents(ctx, tx.Q(), r, st.Head)
}

func checkHead(r *Report, st Status, public string) {
	if !dagcbor.CID(st.Block).Equals(st.Head.CID) {
		r.problem("head commit: its bytes are not those of %s", st.Head.CID)
	}
	c, err := repo.DecodeCommit(st.Block)
	if err != nil {
		r.problem("head commit: %v", err)
		return
	}
	if c.DID != st.Head.DID || c.Rev != st.Head.Rev {
		r.problem("head commit is %s %s, the account's row %s %s", c.DID, c.Rev, st.Head.DID, st.Head.Rev)
	}
	key, err := atcrypto.ParsePublicDIDKey(public)
	if err != nil {
		r.problem("signing key %q: %v", public, err)
		return
	}
	if err := c.Verify(key); err != nil {
		r.problem("head commit: %v", err)
	}
}

// checkCounts holds the counters against what was read.
func checkCounts(ctx context.Context, tx *db.ReadTx, r *Report) error {
	row, err := tx.Q().GetRecordUsage(ctx, tenantdb.GetRecordUsageParams{AID: r.AID, Paths: []string{}})
	if err != nil {
		return err
	}
	if row.RecordCount != nil && (*row.RecordCount != int64(r.Records) || *row.RecordBytes != r.Bytes) {
		r.problem("%d records with %d bytes are counted, there are %d with %d (--recount mends it)", *row.RecordCount, *row.RecordBytes, r.Records, r.Bytes)
	}
	return nil
}

// checkTree rebuilds the tree from the record rows and takes away each stored node that it finds.
func checkTree(ctx context.Context, tx *db.ReadTx, r *Report, head repo.Head) error {
	nodes, err := readNodes(ctx, tx, r, head)
	if err != nil {
		return err
	}
	var readErr error
	records := func(yield func(string, cid.Cid) bool) {
		readErr = eachRecord(ctx, tx.Q(), r.AID, func(row *tenantdb.ListRecordRowsRow) bool {
			r.Records++
			r.Bytes += int64(len(row.Value))
			c := checkRecord(r, row, head)
			var stands string
			if row.LinkTo != nil {
				stands = *row.LinkTo
			}
			if link, _ := LinkOf(row.Path, row.Value); stands != link {
				r.problem("record %s: backlink is %q, should be %q", row.Path, stands, link)
			}
			return !c.Defined() || yield(row.Path, c)
		})
	}
	root, err := mst.Build(records, func(n mst.Node) {
		got, ok := nodes[n.Position()]
		if !ok {
			r.problem("node after %q on level %d is missing", n.After, n.Level)
		} else if want, _ := dagcbor.Digest(n.CID); want != got {
			r.problem("node after %q on level %d is another", n.After, n.Level)
		}
		delete(nodes, n.Position())
	})
	if readErr != nil {
		return readErr
	}
	if err != nil {
		r.problem("records make no tree: %v", err)
		return nil
	}
	if !root.Equals(head.Data) {
		r.problem("records make the tree %s, signed is %s", root, head.Data)
	}
	for at := range nodes {
		r.problem("node after %q on level %d does not belong", at.After, at.Level)
	}
	return nil
}

// checkRecord returns the CID that stands in the row.
func checkRecord(r *Report, row *tenantdb.ListRecordRowsRow, head repo.Head) cid.Cid {
	if _, _, err := repo.ParsePath(row.Path); err != nil {
		r.problem("record: %v", err)
	}
	if repo.TID(row.Rev) > head.Rev || row.Rev <= 0 {
		r.problem("record %s: its revision %s is behind the head's", row.Path, repo.TID(row.Rev))
	}
	if err := dagcbor.ValidateForeign(row.Value); err != nil {
		r.problem("record %s: %v", row.Path, err)
	}
	c, err := cid.Cast(row.CID)
	if err != nil {
		r.problem("record %s: %v", row.Path, err)
		return cid.Undef
	}
	if !bytes.Equal(row.CID, dagcbor.CID(row.Value).Bytes()) {
		r.problem("record %s: its bytes are not those of %s", row.Path, c)
	}
	return c
}

// readNodes streams the stored nodes, checks their bytes and keeps the digests.
func readNodes(ctx context.Context, tx *db.ReadTx, r *Report, head repo.Head) (map[mst.Position][32]byte, error) {
	nodes := map[mst.Position][32]byte{}
	err := tx.Stream(ctx, tenantdb.ListNodes, []any{r.AID}, func(raw [][]byte) error {
		at := mst.Position{Level: int(int16(binary.BigEndian.Uint16(raw[0]))), After: string(raw[1])}
		rev := repo.TID(binary.BigEndian.Uint64(raw[2]))
		r.Nodes++
		d, ok := dagcbor.RawDigest(raw[3])
		if !ok || d != sha256.Sum256(raw[4]) {
			r.problem("node after %q on level %d: its bytes are not those of its cid", at.After, at.Level)
		}
		if rev > head.Rev || rev <= 0 {
			r.problem("node after %q on level %d: its revision %s is behind the head's", at.After, at.Level, rev)
		}
		nodes[at] = d
		return nil
	})
	return nodes, err
}

const checkPage = 1000

func eachRecord(ctx context.Context, q *tenantdb.Queries, aid int64, each func(*tenantdb.ListRecordRowsRow) bool) error {
	for after := ""; ; {
		page, err := q.ListRecordRows(ctx, tenantdb.ListRecordRowsParams{AID: aid, After: after, MaxRows: checkPage})
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if !each(&page[i]) {
				return nil
			}
			after = page[i].Path
		}
	}
}
