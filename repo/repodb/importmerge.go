package repodb

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
)

// merge goes through what is imported and what is there, both in the order of paths, and brings the second to the
// first. The statements are those of a grouped commit.
type merge struct {
	ctx     context.Context
	q       *tenantdb.Queries
	aid     int64
	rev     int64
	commits [][]byte
	now     time.Time

	page  []tenantdb.ListRecordCIDsRow // of what is there
	after string                       // the last path that was read
	end   bool

	nodes []*item
	puts  []*item
	// Deletes wait for the end: a blob that moves from one record to another must not be without a reference in
	// between.
	deletes  []string
	replaced []string
}

func (m *merge) run(items *bufio.Reader) error {
	for {
		it, err := takeItem(items)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		if !it.record {
			m.nodes = append(m.nodes, it)
		} else if err := m.record(it); err != nil {
			return err
		}
		if err := m.flush(importBatch); err != nil {
			return err
		}
	}
	// What is left of what is there is in no archive.
	for {
		old, err := m.peek()
		if err != nil {
			return err
		}
		if old == nil {
			break
		}
		m.deletes = append(m.deletes, old.Path)
		m.page = m.page[1:]
	}
	if err := m.flush(1); err != nil {
		return err
	}
	for paths := range slices.Chunk(m.deletes, importBatch) {
		if err := m.delete(paths); err != nil {
			return err
		}
	}
	for paths := range slices.Chunk(m.replaced, importBatch) {
		if err := m.unlink(paths); err != nil {
			return err
		}
	}
	return nil
}

// record decides about one imported record.
func (m *merge) record(it *item) error {
	for {
		old, err := m.peek()
		if err != nil {
			return err
		}
		switch {
		case old == nil || old.Path > it.key:
			m.puts = append(m.puts, it)
			return nil
		case old.Path == it.key:
			if !bytes.Equal(old.CID, it.cid) {
				m.puts = append(m.puts, it)
				m.replaced = append(m.replaced, it.key)
			}
			m.page = m.page[1:]
			return nil
		}
		m.deletes = append(m.deletes, old.Path)
		m.page = m.page[1:]
	}
}

// peek gives the next record that is there, nil at the end. A page is read only when the one before it is used up, so
// what was written meanwhile lies behind it.
func (m *merge) peek() (*tenantdb.ListRecordCIDsRow, error) {
	if len(m.page) == 0 && !m.end {
		var err error
		m.page, err = m.q.ListRecordCIDs(m.ctx, tenantdb.ListRecordCIDsParams{AID: m.aid, After: m.after, MaxRows: importBatch})
		if err != nil {
			return nil, fmt.Errorf("read records: %w", err)
		}
		if m.end = len(m.page) < importBatch; len(m.page) > 0 {
			m.after = m.page[len(m.page)-1].Path
		}
	}
	if len(m.page) == 0 {
		return nil, nil
	}
	return &m.page[0], nil
}

// maxBatchBytes keeps a statement small whatever its rows are.
const maxBatchBytes = 8 << 20

// flush writes what has come to at least so many rows.
func (m *merge) flush(least int) error {
	if n := len(m.nodes); n > 0 && (n >= least || size(m.nodes) > maxBatchBytes) {
		if err := m.flushNodes(); err != nil {
			return err
		}
	}
	if n := len(m.puts); n > 0 && (n >= least || size(m.puts) > maxBatchBytes) {
		return m.flushPuts()
	}
	return nil
}

func size(items []*item) (n int) {
	for _, it := range items {
		n += len(it.block)
	}
	return n
}

func (m *merge) flushNodes() error {
	var p tenantdb.UpsertNodesParams
	for _, it := range m.nodes {
		p.Aids, p.Revs = append(p.Aids, m.aid), append(p.Revs, m.rev)
		p.Levels, p.Afters = append(p.Levels, int16(it.level)), append(p.Afters, it.key)
		p.Cids, p.Contents = append(p.Cids, it.cid), append(p.Contents, it.block)
	}
	p.Commits = m.commits
	m.nodes = m.nodes[:0]
	if err := m.q.UpsertNodes(m.ctx, p); err != nil {
		return fmt.Errorf("write nodes: %w", err)
	}
	return nil
}

func (m *merge) flushPuts() error {
	var p tenantdb.UpsertRecordsParams
	var blobs tenantdb.UpsertRecordBlobsParams
	for _, it := range m.puts {
		p.Aids, p.Revs, p.Times = append(p.Aids, m.aid), append(p.Revs, m.rev), append(p.Times, m.now)
		p.Paths, p.Cids, p.Values = append(p.Paths, it.key), append(p.Cids, it.cid), append(p.Values, it.block)
		link, _ := LinkOf(it.key, it.block)
		p.Links = append(p.Links, link)
		refs, err := blobsOf(it.key, it.block)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrArchive, err)
		}
		for i := range refs {
			blobs.Aids, blobs.Revs, blobs.Paths = append(blobs.Aids, m.aid), append(blobs.Revs, m.rev), append(blobs.Paths, it.key)
			blobs.Cids, blobs.MimeTypes = append(blobs.Cids, refs[i].CID.Bytes()), append(blobs.MimeTypes, mimeToStore(refs[i].MimeType))
		}
	}
	p.Commits, blobs.Commits = m.commits, m.commits
	m.puts = m.puts[:0]
	if err := m.q.UpsertRecords(m.ctx, p); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	if len(blobs.Aids) > 0 {
		if err := m.q.UpsertRecordBlobs(m.ctx, blobs); err != nil {
			return fmt.Errorf("write blob references: %w", err)
		}
	}
	return nil
}

// delete removes records that the archive does not have.
func (m *merge) delete(paths []string) error {
	var p tenantdb.DeleteRecordsParams
	for _, path := range paths {
		p.Aids, p.Revs, p.Paths = append(p.Aids, m.aid), append(p.Revs, m.rev), append(p.Paths, path)
	}
	p.Commits = m.commits
	if err := m.q.DeleteRecords(m.ctx, p); err != nil {
		return fmt.Errorf("delete records: %w", err)
	}
	return m.unlink(paths)
}

// unlink drops the blob references that records had before.
func (m *merge) unlink(paths []string) error {
	p := tenantdb.DeleteRecordBlobsParams{Commits: m.commits, Now: m.now}
	for _, path := range paths {
		p.Aids, p.Revs, p.Paths = append(p.Aids, m.aid), append(p.Revs, m.rev), append(p.Paths, path)
	}
	if err := m.q.DeleteRecordBlobs(m.ctx, p); err != nil {
		return fmt.Errorf("delete blob references: %w", err)
	}
	return nil
}
