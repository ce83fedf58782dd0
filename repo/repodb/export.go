package repodb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/car"
)

// Export writes the whole repository as an archive in streaming order: the commit, then each node before what hangs
// under it, each record at its key. With since it writes only what was stored behind that revision; the commit always.
//
// It reads in one transaction, as fast as the database gives; what the reader does not take at once waits in memory,
// then in a file, so that a slow one holds neither a connection nor old row versions, nor the place of another export.
// Rows pass through undecoded. from is who takes part in what exports share.
//
// Nothing is written when it fails before the first byte: ErrRepoNotFound, ErrExportsBusy.
//
// spec: repository#streamable-car-block-ordering
func (s *Store) Export(ctx context.Context, from fair.Path, schema db.Schema, aid int64, since repo.TID, w io.Writer) error {
	fail := func(err error) error { return fmt.Errorf("export %s: %w", name(schema, aid), err) }
	slot := s.spools.Try(from...)
	if slot == nil {
		return fail(fmt.Errorf("%w: %w", ErrExportsBusy, fair.ErrNoPlace))
	}
	defer slot.Release()
	place, err := s.reading.Take(ctx, from...)
	if errors.Is(err, fair.ErrNoPlace) {
		err = fmt.Errorf("%w: %w", ErrExportsBusy, err)
	}
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sp := newSpool(s.cfg.SpoolDir, s.cfg.SpoolBytes, s.disk, from)
	defer sp.close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		out := resumed{to: sp, held: db.Lent(ctx)}
		err := s.db.Tenant(schema).ReadTx(ctx, func(tx *db.ReadTx) error {
			return exportTx(ctx, tx, aid, since, &out)
		})
		if err == nil {
			err = out.end()
		}
		place.Release() // the spool has everything
		sp.finish(err)
	}()
	if err = sp.copyTo(w); err != nil {
		cancel()
	}
	sp.abandon() // frees the other side if it waits for room
	<-read
	if err != nil {
		return fail(err)
	}
	return nil
}

// exportWait is how long an export waits for a connection.
const exportWait = 10 * time.Second

func exportTx(ctx context.Context, tx *db.ReadTx, aid int64, since repo.TID, sp *resumed) error {
	st, _, err := readHead(ctx, tx.Q(), aid)
	if err != nil {
		return err
	}
	if err := sp.begin(st.Head.CID); err != nil {
		return err
	}
	head := car.AppendHeader(nil, st.Head.CID)
	if err := sp.write(car.AppendSection(head, st.Head.CID, st.Block)); err != nil {
		return err
	}
	o := ordered{sp: sp}
	if err := tx.Stream(ctx, tenantdb.ListRepoBlocks, []any{aid, int64(since)}, o.row); err != nil {
		return err
	}
	return o.flush()
}

// ordered brings rows of equal key into pre-order: the record, then the nodes that hang after it by falling level.
// There are rarely more than a handful.
type ordered struct {
	sp    *resumed
	key   []byte
	rows  []row // of key
	bytes []byte
	out   []byte
}

type row struct {
	level    int16 // -1: the record
	cid, end int   // in bytes: the CID starts at cid, the block follows it up to end
}

// row takes key, level, cid and block in Postgres's binary format.
func (o *ordered) row(raw [][]byte) error {
	if len(raw) != 4 || len(raw[1]) != 2 || len(raw[2]) != cidLen {
		return fmt.Errorf("%w: row of an export", ErrCorrupt)
	}
	if len(o.rows) > 0 && string(raw[0]) != string(o.key) {
		if err := o.flush(); err != nil {
			return err
		}
	}
	if len(o.rows) == 0 {
		o.key = append(o.key[:0], raw[0]...)
	}
	r := row{level: int16(binary.BigEndian.Uint16(raw[1])), cid: len(o.bytes)}
	o.bytes = append(append(o.bytes, raw[2]...), raw[3]...)
	r.end = len(o.bytes)
	i := len(o.rows)
	o.rows = append(o.rows, r)
	for ; i > 0 && o.rows[i-1].after(r); i-- {
		o.rows[i] = o.rows[i-1]
	}
	o.rows[i] = r
	return nil
}

// after tells whether r comes after q, both of one key.
func (r row) after(q row) bool { return r.level >= 0 && (q.level < 0 || q.level > r.level) }

const cidLen = 36

// flush writes the rows of one key.
func (o *ordered) flush() error {
	o.out = o.out[:0]
	for _, r := range o.rows {
		o.out = car.AppendSectionRaw(o.out, o.bytes[r.cid:r.cid+cidLen], o.bytes[r.cid+cidLen:r.end])
	}
	o.rows, o.bytes = o.rows[:0], o.bytes[:0]
	return o.sp.write(o.out)
}
