package repodb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/mst"
)

// MaxBlocks bounds one Blocks call, and MaxBlocksBytes what it reads: the blocks may be that long together, or one of
// them longer.
const (
	MaxBlocks      = 1000
	MaxBlocksBytes = 3 << 20
)

// Archive is a few blocks in memory, to be written.
type Archive struct {
	roots  []cid.Cid
	blocks []block
	size   int64
}

type block struct {
	cid  []byte
	data []byte
}

func (a *Archive) add(c, data []byte) {
	a.blocks = append(a.blocks, block{c, data})
	a.size += int64(len(c) + len(data) + 10)
}

// Size is about how many bytes Write writes, and how many the archive holds.
func (a *Archive) Size() int64 { return a.size }

// Write writes the archive in CAR format.
func (a *Archive) Write(w io.Writer) error {
	cw, err := car.NewWriter(w, a.roots...)
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	for _, b := range a.blocks {
		if err := cw.PutRaw(b.cid, b.data); err != nil {
			return fmt.Errorf("write archive: %w", err)
		}
	}
	return nil
}

// MissingBlocks says which blocks a repository does not have. It is an ErrBlocksNotFound.
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

// Proof gives the archive that proves what stands at path, or that nothing does: the commit, the nodes from the root
// down to the key or all the way to the gap, and the record if there is one.
func (s *Store) Proof(ctx context.Context, schema db.Schema, aid int64, path string) (*Archive, error) {
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
		return nil, fail(err)
	}
	a := &Archive{roots: []cid.Cid{st.Head.CID}}
	a.add(st.Head.CID.Bytes(), st.Block)
	for i := range nodes {
		a.add(nodes[i].CID.Bytes(), nodes[i].Block)
	}
	for i := range recs {
		a.add(recs[i].CID, recs[i].Value)
	}
	return a, nil
}

// Blocks gives an archive without roots of these blocks: the newest commit, current nodes and current records. Repeated
// CIDs come once. If any is missing the error is a *MissingBlocks; if together they are longer than MaxBlocksBytes,
// ErrBlocksTooLarge.
//
// There is no index by CID: it reads through the repository. Callers bound how often.
func (s *Store) Blocks(ctx context.Context, schema db.Schema, aid int64, cids []cid.Cid) (*Archive, error) {
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
		nodes, err := q.ListNodesByCID(ctx, tenantdb.ListNodesByCIDParams{AID: aid, Cids: rest, MaxRows: MaxBlocks, MaxBytes: MaxBlocksBytes})
		if err != nil {
			return err
		}
		left := int64(MaxBlocksBytes)
		for i := range nodes {
			if nodes[i].Content == nil {
				return ErrBlocksTooLarge
			}
			found[string(nodes[i].CID)] = nodes[i].Content
			left -= int64(len(nodes[i].Content))
		}
		if rest = missing(rest, found); len(rest) == 0 {
			return nil
		}
		records, err := q.ListRecordsByCID(ctx, tenantdb.ListRecordsByCIDParams{AID: aid, Cids: rest, MaxRows: MaxBlocks, MaxBytes: left})
		for i := range records {
			if records[i].Value == nil {
				return ErrBlocksTooLarge
			}
			found[string(records[i].CID)] = records[i].Value
		}
		return err
	})
	if err != nil {
		return nil, fail(err)
	}
	var lost MissingBlocks
	for _, c := range cids {
		if _, ok := found[c.KeyString()]; !ok {
			lost.CIDs = append(lost.CIDs, c)
		}
	}
	if len(lost.CIDs) > 0 {
		return nil, fail(&lost)
	}
	a := &Archive{}
	for _, c := range cids {
		data, ok := found[c.KeyString()]
		if !ok {
			continue // in it already
		}
		delete(found, c.KeyString())
		a.add(c.Bytes(), data)
	}
	return a, nil
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
