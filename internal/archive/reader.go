package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Reader reads an archive, with a piece of it in memory at a time. Every error of what it reads is [ErrDamaged],
// [ErrNotArchive] or [ErrTooNew]; those of the source come through.
type Reader struct {
	Header   Header
	Manifest Manifest // once Next has said io.EOF

	in    *bufio.Reader
	all   hash.Hash
	sum   Manifest
	blobs bool // files have begun: no table comes after them
	item  *Item
	err   error
}

// Item is a table or a file. Reading it to its end proves it.
type Item struct {
	Table *Table // one of the two
	Blob  *Blob
	// Rows is known, and Missing, once the item was read to its end.
	Rows    int64
	Missing bool

	of   *Reader
	data []byte // of the piece that is being read
	size int64
	hash hash.Hash
	done bool
}

// NewReader reads the header.
func NewReader(r io.Reader) (*Reader, error) {
	a := &Reader{in: bufio.NewReaderSize(r, 64<<10), all: sha256.New()}
	begins := make([]byte, len(magic))
	if _, err := a.in.Peek(len(begins)); errors.Is(err, io.EOF) {
		return nil, ErrNotArchive // so short is none, where one that is encrypted was cut off
	}
	if err := a.full(begins); err != nil {
		return nil, err
	}
	if string(begins) != magic {
		if bytes.HasPrefix(begins, []byte(magic[:len("locus archive ")])) {
			return nil, fmt.Errorf("%w: it has another format", ErrTooNew)
		}
		return nil, ErrNotArchive
	}
	kind, body, err := a.piece(maxHeader)
	if err != nil {
		return nil, err
	}
	if kind != pieceHeader || json.Unmarshal(body, &a.Header) != nil {
		return nil, fmt.Errorf("%w: it has no header", ErrDamaged)
	}
	return a, nil
}

// full reads exactly what it is asked for.
func (a *Reader) full(into []byte) error {
	_, err := io.ReadFull(a.in, into)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too soon", ErrDamaged)
	}
	if err == nil {
		a.all.Write(into)
	}
	return err
}

// piece reads the next one. A length is believed up to most, and memory is taken as bytes arrive.
func (a *Reader) piece(most int) (kind byte, body []byte, err error) {
	var head [5]byte
	if err := a.full(head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if uint64(n) > uint64(most) {
		return 0, nil, fmt.Errorf("%w: a piece of %d bytes", ErrDamaged, n)
	}
	body = make([]byte, 0, min(int(n), 64<<10))
	for len(body) < int(n) {
		at := len(body)
		step := min(int(n)-at, 64<<10)
		body = append(body, make([]byte, step)...)
		if err := a.full(body[at:]); err != nil {
			return 0, nil, err
		}
	}
	return head[0], body, nil
}

// Next gives the next item, after the one before was read to its end or is passed over. io.EOF: the archive is whole.
func (a *Reader) Next() (*Item, error) {
	if a.err == nil {
		var it *Item
		if it, a.err = a.next(); a.err == nil {
			a.item = it
			return it, nil
		}
	}
	return nil, a.err
}

func (a *Reader) next() (*Item, error) {
	if a.item != nil {
		if _, err := io.Copy(io.Discard, a.item); err != nil {
			return nil, err
		}
	}
	kind, body, err := a.piece(maxPiece)
	if err != nil {
		return nil, err
	}
	it := &Item{of: a, hash: sha256.New()}
	switch kind {
	case pieceTable:
		it.Table = new(Table)
		if a.sum.Tables++; json.Unmarshal(body, it.Table) != nil || a.blobs || a.sum.Tables > maxTables || len(it.Table.Columns) > maxColumns {
			return nil, fmt.Errorf("%w: a table that cannot be there", ErrDamaged)
		}
		return it, nil
	case pieceBlob:
		a.blobs, it.Blob = true, new(Blob)
		if json.Unmarshal(body, it.Blob) != nil {
			return nil, fmt.Errorf("%w: a file that cannot be there", ErrDamaged)
		}
		return it, nil
	case pieceManifest:
		return nil, a.finish(body)
	}
	return nil, fmt.Errorf("%w: a piece %q where none can be", ErrDamaged, kind)
}

func (a *Reader) finish(body []byte) error {
	if json.Unmarshal(body, &a.Manifest) != nil || a.Manifest != a.sum {
		return fmt.Errorf("%w: it does not have what its manifest says", ErrDamaged)
	}
	want := a.all.Sum(nil)
	kind, digest, err := a.piece(sha256.Size)
	if err != nil {
		return err
	}
	if kind != pieceDigest || !bytes.Equal(digest, want) {
		return fmt.Errorf("%w: its digest is another one", ErrDamaged)
	}
	switch _, err := a.in.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: something stands behind its end", ErrDamaged)
	case !errors.Is(err, io.EOF):
		return err
	}
	return io.EOF
}

// Read implements io.Reader.
func (it *Item) Read(p []byte) (int, error) {
	for len(it.data) == 0 {
		if it.done {
			return 0, io.EOF
		}
		if it.of.err != nil {
			return 0, it.of.err
		}
		if err := it.more(); err != nil {
			it.of.err = err
			return 0, err
		}
	}
	n := copy(p, it.data)
	it.data = it.data[n:]
	return n, nil
}

func (it *Item) more() error {
	kind, body, err := it.of.piece(maxPiece)
	if err != nil {
		return err
	}
	switch kind {
	case pieceData:
		it.data = body
		it.size += int64(len(body))
		it.hash.Write(body)
		return nil
	case pieceEnd:
		return it.end(body)
	}
	return fmt.Errorf("%w: a piece %q within an item", ErrDamaged, kind)
}

func (it *Item) end(body []byte) error {
	var e end
	if json.Unmarshal(body, &e) != nil || e.Bytes != it.size || e.Rows < 0 || !bytes.Equal(e.SHA256, it.hash.Sum(nil)) {
		return fmt.Errorf("%w: an item's digest is another one", ErrDamaged)
	}
	sum := &it.of.sum
	it.done, it.Rows, it.Missing = true, e.Rows, e.Missing
	sum.Bytes += it.size
	switch {
	case it.Table != nil && !e.Missing:
		sum.Rows += e.Rows
	case it.Blob != nil && e.Missing && it.size == 0 && e.Rows == 0:
		sum.Missing++
	case it.Blob != nil && !e.Missing && it.size == it.Blob.Size && e.Rows == 0:
		sum.Blobs++
	default:
		return fmt.Errorf("%w: an item is not what its end says", ErrDamaged)
	}
	return nil
}

// Verify reads an archive to its end and proves that it is whole. progress, if not nil, hears how many bytes of rows and
// files were read.
func Verify(r io.Reader, progress func(bytes int64)) (Header, Manifest, error) {
	a, err := NewReader(r)
	if err != nil {
		return Header{}, Manifest{}, err
	}
	for {
		it, err := a.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, ErrDamaged) {
			return a.Header, a.Manifest, nil
		}
		if err != nil {
			return a.Header, a.Manifest, err
		}
		if _, err := io.Copy(io.Discard, it); err != nil {
			return a.Header, a.Manifest, err
		}
		if progress != nil {
			progress(a.sum.Bytes)
		}
	}
}
