package repodb

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/mst"
)

// nodeLoader gives a tree the nodes it asks for. The first one that is missing fetches, in one statement, everything
// that any operation on the keys it was told of can need; a node beyond that is fetched by its position.
//
// Nodes are checked by digest, so one that another process has changed since the head was read is noticed here:
// errStale.
type nodeLoader struct {
	ctx  context.Context
	q    *tenantdb.Queries
	aid  int64
	have mst.Blocks
	keys []string // wanted, not fetched yet
}

func newNodeLoader(ctx context.Context, q *tenantdb.Queries, aid int64) *nodeLoader {
	return &nodeLoader{ctx: ctx, q: q, aid: aid, have: mst.Blocks{}}
}

// want names keys that are going to be used.
func (l *nodeLoader) want(keys ...string) { l.keys = append(l.keys, keys...) }

func (l *nodeLoader) load(r mst.Ref) ([]byte, error) {
	if b, ok := l.have[r.Digest]; ok {
		return b, nil
	}
	if len(l.keys) > 0 {
		if err := l.fetch(); err != nil {
			return nil, err
		}
		if b, ok := l.have[r.Digest]; ok {
			return b, nil
		}
	}
	if r.Level < 0 {
		return nil, errStale // the root is on every path
	}
	return l.fetchOne(r)
}

// byCID is a loader for reads that follow one wanted key's path, which one fetch has all of.
func (l *nodeLoader) byCID(c cid.Cid) ([]byte, error) {
	d, err := dagcbor.Digest(c)
	if err != nil {
		return nil, fmt.Errorf("%w: node %s: %w", ErrCorrupt, c, err)
	}
	return l.load(mst.Ref{Digest: d, Level: -1})
}

// fetch reads the paths of the wanted keys.
func (l *nodeLoader) fetch() error {
	if len(l.keys) == 1 {
		rows, err := l.q.ListPathNodes(l.ctx, tenantdb.ListPathNodesParams{AID: l.aid, Key: l.keys[0]})
		if err != nil {
			return fmt.Errorf("read path: %w", err)
		}
		for i := range rows {
			l.add(rows[i].CID, rows[i].Content)
		}
	} else {
		rows, err := l.q.ListPathsNodes(l.ctx, tenantdb.ListPathsNodesParams{AID: l.aid, Keys: l.keys})
		if err != nil {
			return fmt.Errorf("read paths: %w", err)
		}
		for i := range rows {
			l.add(rows[i].CID, rows[i].Content)
		}
	}
	l.keys = l.keys[:0]
	return nil
}

func (l *nodeLoader) add(rawCID, block []byte) {
	if d, ok := dagcbor.RawDigest(rawCID); ok && d == sha256.Sum256(block) {
		l.have[d] = block
	}
}

// fetchOne reads the node at r's position.
func (l *nodeLoader) fetchOne(r mst.Ref) ([]byte, error) {
	row, err := l.q.ListNodesAt(l.ctx, tenantdb.ListNodesAtParams{AID: l.aid, Level: int16(r.Level), After: r.After})
	if err != nil {
		return nil, fmt.Errorf("read node: %w", err)
	}
	for i := range row {
		l.add(row[i].CID, row[i].Content)
	}
	if b, ok := l.have[r.Digest]; ok {
		return b, nil
	}
	return nil, errStale
}
