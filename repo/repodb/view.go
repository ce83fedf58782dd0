package repodb

import (
	"context"
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/mst"
)

// maxDuplicates bounds the older records that one create removes; others go with the next one.
const maxDuplicates = 100

// View is the repository as a write finds it. It is valid during one call of the build function.
type View struct {
	ctx    context.Context
	q      *tenantdb.Queries
	aid    int64
	head   *head
	tree   *mst.Tree
	loader *nodeLoader
}

// Head is the newest commit.
func (v *View) Head() repo.Head { return v.head.Head }

// Get is the CID of the record at path; false if there is none. It costs no statement when the path's nodes are
// remembered, one otherwise.
func (v *View) Get(path string) (c cid.Cid, exists bool, err error) {
	v.loader.want(path)
	return v.tree.Get(path)
}

// Record is the block of the record at path, nil if there is none. One statement.
func (v *View) Record(path string) ([]byte, error) {
	c, ok, err := v.Get(path)
	if err != nil || !ok {
		return nil, err
	}
	rows, err := v.q.ListRecordsAt(v.ctx, tenantdb.ListRecordsAtParams{AID: v.aid, Path: path})
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	if len(rows) != 1 || string(rows[0].CID) != c.KeyString() {
		return nil, errStale
	}
	return rows[0].Value, nil
}

// Backlinks lists up to 100 paths of the records of a collection that point at linkTo: the subject of a follow, block,
// like or repost, as LinkOf gives it. One statement.
func (v *View) Backlinks(linkTo, collection string) ([]string, error) {
	paths, err := v.q.ListBacklinks(v.ctx, tenantdb.ListBacklinksParams{
		AID: v.aid, LinkTo: linkTo, Lo: collection + "/", Hi: collection + "0", MaxRows: maxDuplicates,
	})
	if err != nil {
		return nil, fmt.Errorf("read backlinks: %w", err)
	}
	return paths, nil
}

// Duplicates lists the deletes that make a new record at path the only one of its collection with its subject; none for
// collections without that rule.
func (v *View) Duplicates(path string, record []byte) ([]repo.Write, error) {
	link, ok := LinkOf(path, record)
	if !ok {
		return nil, nil
	}
	collection, _, _ := strings.Cut(path, "/")
	paths, err := v.Backlinks(link, collection)
	if err != nil {
		return nil, err
	}
	var out []repo.Write
	for _, p := range paths {
		if p != path {
			out = append(out, repo.Write{Action: repo.ActionDelete, Path: p})
		}
	}
	return out, nil
}
