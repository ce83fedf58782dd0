package repodb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/mst"
	"github.com/ipfs/go-cid"
)

// MaxBlocks bounds one Blocks call.
const MaxBlocks = 1000

// MissingBlocks says which blocks a repository does not have. It is an
// ErrBlocksNotFound.
type MissingBlocks struct{ CIDs []cid.Cid }

func (e *MissingBlocks) Error() string {
	s := make([]string, len(e.CIDs))
	for i, c := range e.CIDs {
		s[i] = c.String()
	}
	return "could not find cids: " + strings.Join(s, ",")
}

// Unwrap makes it an ErrBlocksNotFound.
func (e *MissingBlocks) Unwrap() error { return ErrBlocksNotFound }

// Proof writes the archive that proves what stands at path, or that nothing
// does: the commit, the nodes from the root down to the key or all the way to
// the gap, and the record if there is one. Nothing is written when it fails
// before the first block.
func (s *Store) Proof(ctx context.Context, schema db.Schema, aid int64, path string, w io.Writer) error {
	fail := func(err error) error { return fmt.Errorf("proof of %s in %s: %w", path, name(schema, aid), err) }
	var (
		st    Status
		nodes []mst.Node
		recs  []tenantdb.ListRecordsAtRow
	)
	err := s.db.Tenant(schema).ReadTx(ctx, func(tx *db.ReadTx) (err error) {
		q := tx.Q()
		if st, _, err = readHead(ctx, q, aid); err != nil {
			return err
		}
		loader := newNodeLoader(ctx, q, aid)
		loader.want(path)
		if nodes, _, err = mst.Path(st.Head.Data, loader.byCID, path); errors.Is(err, errStale) {
			return fmt.Errorf("%w: %w", ErrCorrupt, err) // the transaction sees one moment
		} else if err != nil {
			return err
		}
		recs, err = q.ListRecordsAt(ctx, tenantdb.ListRecordsAtParams{AID: aid, Path: path})
		return err
	})
	if err != nil {
		return fail(err)
	}
	cw, err := car.NewWriter(w, st.Head.CID)
	if err != nil {
		return fail(err)
	}
	if err := cw.Put(st.Head.CID, st.Block); err != nil {
		return fail(err)
	}
	for i := range nodes {
		if err := cw.Put(nodes[i].CID, nodes[i].Block); err != nil {
			return fail(err)
		}
	}
	for i := range recs {
		if err := cw.PutRaw(recs[i].CID, recs[i].Value); err != nil {
			return fail(err)
		}
	}
	return nil
}

// Blocks writes an archive without roots of these blocks: the newest commit,
// current nodes and current records. Repeated CIDs come once. If any is missing
// the error is a *MissingBlocks, and nothing is written.
//
// There is no index by CID: it reads through the repository. Callers bound how
// often.
func (s *Store) Blocks(ctx context.Context, schema db.Schema, aid int64, cids []cid.Cid, w io.Writer) error {
	fail := func(err error) error { return fmt.Errorf("blocks of %s: %w", name(schema, aid), err) }
	found := make(map[string][]byte, len(cids))
	err := s.db.Tenant(schema).ReadTx(ctx, func(tx *db.ReadTx) error {
		q := tx.Q()
		st, _, err := readHead(ctx, q, aid)
		if err != nil {
			return err
		}
		var rest [][]byte
		for _, c := range cids {
			if c.Equals(st.Head.CID) {
				found[c.KeyString()] = st.Block
			} else {
				rest = append(rest, c.Bytes())
			}
		}
		if len(rest) == 0 {
			return nil
		}
		nodes, err := q.ListNodesByCID(ctx, tenantdb.ListNodesByCIDParams{AID: aid, Cids: rest, MaxRows: MaxBlocks})
		if err != nil {
			return err
		}
		for i := range nodes {
			found[string(nodes[i].CID)] = nodes[i].Content
		}
		if rest = missing(rest, found); len(rest) == 0 {
			return nil
		}
		records, err := q.ListRecordsByCID(ctx, tenantdb.ListRecordsByCIDParams{AID: aid, Cids: rest, MaxRows: MaxBlocks})
		for i := range records {
			found[string(records[i].CID)] = records[i].Value
		}
		return err
	})
	if err != nil {
		return fail(err)
	}
	var lost MissingBlocks
	for _, c := range cids {
		if _, ok := found[c.KeyString()]; !ok {
			lost.CIDs = append(lost.CIDs, c)
		}
	}
	if len(lost.CIDs) > 0 {
		return fail(&lost)
	}
	cw, err := car.NewWriter(w)
	if err != nil {
		return fail(err)
	}
	for _, c := range cids {
		block, ok := found[c.KeyString()]
		if !ok {
			continue // written already
		}
		delete(found, c.KeyString())
		if err := cw.Put(c, block); err != nil {
			return fail(err)
		}
	}
	return nil
}

// missing is what of raw is not in found.
func missing(raw [][]byte, found map[string][]byte) (out [][]byte) {
	for _, c := range raw {
		if _, ok := found[string(c)]; !ok {
			out = append(out, c)
		}
	}
	return out
}
