package repodb

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/mst"
)

// ErrArchive: what was given is not a whole repository of the account. The text after it is for the client.
var ErrArchive = errors.New("the archive cannot be imported")

// ErrImportsBusy: as many imports run in this process as may.
var ErrImportsBusy = errors.New("too many imports at once")

const (
	// importBuffer is how much of an archive whose blocks are out of order is held in memory; imports is how many may
	// be checked at once, once all of the archive is here, and importWait how long one waits for that.
	importBuffer = 256 << 20
	imports      = 3
	importWait   = 2 * time.Minute
	// importBatch is how many rows one statement takes.
	importBatch = 500
	// importAhead is how far an imported revision may lie in the future and still be one to follow.
	importAhead = 5 * time.Minute
)

// Import makes an account's repository the one that an archive holds: records that are not in it go. The archive is
// checked whole before anything is changed: every block, the tree, the DID; not the signature, because whose key it was
// made with is the old host's affair and what is stored is signed by ours. One transaction changes everything.
//
// A deactivated account's import says nothing. An active one's tells subscribers to fetch the repository again, or the
// next commit would follow one they never saw. from is who takes part in what imports share: nothing is held but a
// place in the spool until all of r has come. Errors: [ErrArchive], [ErrImportsBusy], [ErrRepoNotFound],
// [ErrRepoTakendown], [ErrAccountQuota], [ErrTenantQuota], those of r.
// spec: account#pds-account-migration
func (s *Store) Import(ctx context.Context, from fair.Path, schema db.Schema, aid int64, did string, quota Quota, r io.Reader) error {
	fail := func(err error) error { return fmt.Errorf("import of %s: %w", name(schema, aid), err) }
	slot := s.spools.Try(from...)
	if slot == nil {
		return fail(ErrImportsBusy)
	}
	defer slot.Release()
	body, err := s.receive(from, r)
	if err != nil {
		return fail(err)
	}
	defer body.Close()
	place, err := s.importing.Take(ctx, from...)
	if errors.Is(err, fair.ErrNoPlace) {
		err = ErrImportsBusy
	}
	if err != nil {
		return fail(err)
	}
	defer place.Release()
	file, err := s.tempFile()
	if err != nil {
		return fail(err)
	}
	defer file.Close()
	archive, sum, err := spoolArchive(file, did, bufio.NewReaderSize(body, 1<<20))
	if err != nil {
		return fail(err)
	}
	st, err := s.acquire(ctx, repoKey{schema, aid})
	if err != nil {
		return fail(err)
	}
	defer s.release(st)
	st.forget()
	defer s.forgetRecent(st.key) // behind the transaction
	last, err := s.hub.Publish(ctx, s.db.Tenant(schema), func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		return s.replace(ctx, q, st.key, archive, sum, quota, bufio.NewReaderSize(file, 1<<20))
	})
	if err != nil {
		return fail(err)
	}
	if last > 0 {
		s.db.Changed(schema, st.key.aid)
	}
	return nil
}

// received is an archive that is here whole, in a file without a name.
type received struct {
	*os.File
	room *fair.Hold
}

func (b received) Close() error {
	b.room.Release()
	return b.File.Close()
}

// receive takes the archive in. It is counted twice on the disk: what is in it is written again in the order of the
// tree.
func (s *Store) receive(from fair.Path, r io.Reader) (_ received, err error) {
	b := received{room: s.disk.Try(diskStep, from...)}
	if b.room == nil {
		return b, ErrImportsBusy
	}
	if b.File, err = s.tempFile(); err != nil {
		b.room.Release()
		return b, err
	}
	defer func() {
		if err != nil {
			_ = b.Close()
		}
	}()
	in := &readErrors{r: r}
	for n := int64(0); ; {
		part, err := io.CopyN(b.File, in, diskStep/4)
		n += part
		switch {
		case errors.Is(err, io.EOF):
			_, err = b.Seek(0, io.SeekStart)
			return b, err
		case in.err != nil:
			return b, in.err // the body broke off
		case err != nil:
			return b, fmt.Errorf("spool: %w", err)
		case !b.room.Grow(2*n + diskStep):
			return b, ErrImportsBusy
		}
	}
}

// tempFile is a file that is gone with its last handle, even after a crash.
func (s *Store) tempFile() (*os.File, error) {
	f, err := os.CreateTemp(s.cfg.SpoolDir, "locus-import-*")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name())
	return f, nil
}

// spoolArchive checks the archive and writes what is in it to a file, in the order of the tree. sum is of its records.
func spoolArchive(file *os.File, did string, r io.Reader) (_ *repo.Archive, sum Sum, err error) {
	w := bufio.NewWriterSize(file, 1<<20)
	in := &readErrors{r: r}
	archive, err := repo.Verify(in, did, nil, repo.VerifyOptions{
		Buffer: importBuffer,
		Record: func(rec repo.ImportedRecord) error {
			if rec.Err != nil {
				return rec.Err
			}
			sum.Records++
			sum.Bytes += int64(len(rec.Block))
			return putItem(w, &item{record: true, key: rec.Path, cid: rec.CID.Bytes(), block: rec.Block})
		},
		Node: func(n mst.Node) error {
			return putItem(w, &item{level: n.Level, key: n.After, cid: n.CID.Bytes(), block: n.Block})
		},
	})
	switch {
	case in.err != nil:
		return nil, sum, in.err // the body broke off: its reason is the better one
	case err != nil:
		var disk *os.PathError
		if errors.As(err, &disk) {
			return nil, sum, err
		}
		return nil, sum, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	if err := w.Flush(); err != nil {
		return nil, sum, err
	}
	return archive, sum, nil
}

// readErrors remembers what went wrong with the reading itself.
type readErrors struct {
	r   io.Reader
	err error
}

func (e *readErrors) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil && err != io.EOF {
		e.err = err
	}
	return n, err
}

// replace is the transaction's body.
func (s *Store) replace(ctx context.Context, q *tenantdb.Queries, key repoKey, archive *repo.Archive, sum Sum, quota Quota, items *bufio.Reader) ([]firehose.Event, error) {
	row, err := q.GetRepoHead(ctx, key.aid)
	if db.IsNoRows(err) {
		return nil, ErrRepoNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read head: %w", err)
	}
	if err := writable(row.CreatingSince, nil, row.TakedownRef, row.HeadCID); err != nil {
		return nil, err
	}
	signer, err := s.keys.Signer(key.schema.String(), key.aid, row.Sealed)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	now := s.now()
	// Consumers that know the repository from its old host must see a revision that is newer than any they have.
	prev := repo.TID(row.HeadRev)
	if old := archive.Commit.Rev; old > prev && old <= repo.NextRev(0, now.Add(importAhead)) {
		prev = old
	}
	c := repo.SignedCommit{DID: row.DID, Rev: s.nextRev(prev, now), Data: archive.Commit.Data}
	if c.Sig, err = signer.Sign(c.Unsigned()); err != nil {
		return nil, fmt.Errorf("sign commit: %w", err)
	}
	block := c.Block()
	head := dagcbor.CID(block)
	// The head first: its row is locked from here, and the statements below look for it as those of a group do.
	n, err := q.UpdateRepoHead(ctx, tenantdb.UpdateRepoHeadParams{AID: key.aid, Prev: row.HeadRev, Rev: int64(c.Rev), CID: head.Bytes(), Block: block})
	if err != nil {
		return nil, fmt.Errorf("update head: %w", err)
	}
	if n != 1 {
		return nil, ErrContention
	}
	had, counted, err := mayHold(ctx, q, key.aid, sum, quota)
	if err != nil {
		return nil, err
	}
	if err := q.DeleteActorNodes(ctx, key.aid); err != nil {
		return nil, fmt.Errorf("delete nodes: %w", err)
	}
	m := &merge{ctx: ctx, q: q, aid: key.aid, rev: int64(c.Rev), commits: [][]byte{head.Bytes()}, now: now}
	if err := m.run(items); err != nil {
		return nil, err
	}
	if err := setCounts(ctx, q, key.aid, sum, had, counted); err != nil {
		return nil, err
	}
	if row.DeactivatedAt != nil {
		return nil, nil
	}
	return []firehose.Event{firehose.NewSync(key.aid, row.DID, c.Rev, head, block, now)}, nil
}

// mayHold says whether an account may have these records in place of its own, behind a lock of its row. had is what the
// tenant's sum has of it.
func mayHold(ctx context.Context, q *tenantdb.Queries, aid int64, sum Sum, quota Quota) (had Sum, counted bool, err error) {
	row, err := q.GetRecordUsage(ctx, tenantdb.GetRecordUsageParams{AID: aid, Paths: []string{}})
	if err != nil {
		return had, false, fmt.Errorf("read usage: %w", err)
	}
	if counted = row.RecordCount != nil; counted {
		had = Sum{*row.RecordCount, *row.RecordBytes}
	}
	more := Sum{sum.Records - had.Records, sum.Bytes - had.Bytes}
	err = LimitsOf(row.MaxRecords, row.MaxRecordBytes, quota.Account).refuse(ErrAccountQuota, had, more)
	if err == nil {
		err = quota.refuseTenant(Sum{row.TenantRecords, row.TenantBytes}, more)
	}
	return had, counted, err
}

// item is a node or record in the file between checking and storing.
type item struct {
	record bool
	level  int
	key    string // the record's path, or what the node hangs after
	cid    []byte
	block  []byte
}

func putItem(w *bufio.Writer, it *item) error {
	var head []byte
	kind := uint64(it.level) << 1 // the lowest bit is set for a record
	if it.record {
		kind = 1
	}
	head = binary.AppendUvarint(head, kind)
	for _, part := range [][]byte{[]byte(it.key), it.cid, it.block} {
		head = binary.AppendUvarint(head, uint64(len(part)))
	}
	for _, part := range [][]byte{head, []byte(it.key), it.cid, it.block} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// takeItem gives io.EOF at the end.
func takeItem(r *bufio.Reader) (*item, error) {
	kind, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	var sizes [3]uint64
	total := uint64(0)
	for i := range sizes {
		if sizes[i], err = binary.ReadUvarint(r); err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		total += sizes[i]
	}
	all := make([]byte, total)
	if _, err := io.ReadFull(r, all); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	it := &item{record: kind == 1, key: string(all[:sizes[0]]), cid: all[sizes[0] : sizes[0]+sizes[1]], block: all[sizes[0]+sizes[1]:]}
	if !it.record {
		it.level = int(kind >> 1)
	}
	return it, nil
}
