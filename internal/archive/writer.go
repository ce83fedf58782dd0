package archive

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Writer writes an archive. Its caller ends every item, and the archive with [Writer.Close].
type Writer struct {
	out  *bufio.Writer
	all  hash.Hash // of everything that was written
	item hash.Hash
	open bool
	held []byte // data that is not a whole piece yet
	size int64
	sum  Manifest
}

// NewWriter begins an archive.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	a := &Writer{all: sha256.New(), item: sha256.New(), held: make([]byte, 0, maxPiece)}
	a.out = bufio.NewWriterSize(io.MultiWriter(w, a.all), 64<<10)
	if _, err := a.out.WriteString(magic); err != nil {
		return nil, err
	}
	return a, a.json(pieceHeader, h)
}

func (a *Writer) json(kind byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	limit := maxPiece
	if kind == pieceHeader {
		limit = maxHeader
	}
	if len(raw) > limit {
		return fmt.Errorf("archive: a piece %q of %d bytes", kind, len(raw))
	}
	return a.piece(kind, raw)
}

func (a *Writer) piece(kind byte, body []byte) error {
	var head [5]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(body)))
	if _, err := a.out.Write(head[:]); err != nil {
		return err
	}
	_, err := a.out.Write(body)
	return err
}

var errOrder = errors.New("archive: an item is not ended, or none is begun")

// Table begins a table.
func (a *Writer) Table(t Table) error { return a.begin(pieceTable, t) }

// Blob begins a file.
func (a *Writer) Blob(b Blob) error { return a.begin(pieceBlob, b) }

func (a *Writer) begin(kind byte, v any) error {
	if a.open {
		return errOrder
	}
	a.open, a.size = true, 0
	a.item.Reset()
	return a.json(kind, v)
}

// Write adds to the item.
func (a *Writer) Write(p []byte) (int, error) {
	if !a.open {
		return 0, errOrder
	}
	a.item.Write(p)
	a.size += int64(len(p))
	written := len(p)
	for len(p) > 0 {
		n := min(len(p), maxPiece-len(a.held))
		a.held = append(a.held, p[:n]...)
		p = p[n:]
		if len(a.held) == maxPiece {
			if err := a.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

func (a *Writer) flush() error {
	if len(a.held) == 0 {
		return nil
	}
	err := a.piece(pieceData, a.held)
	a.held = a.held[:0]
	return err
}

// EndTable ends a table of so many rows.
func (a *Writer) EndTable(rows int64) error {
	a.sum.Tables++
	a.sum.Rows += rows
	return a.end(end{Rows: rows})
}

// EndBlob ends a file, or says that it was not to be had.
func (a *Writer) EndBlob(missing bool) error {
	if missing {
		a.sum.Missing++
	} else {
		a.sum.Blobs++
	}
	return a.end(end{Missing: missing})
}

func (a *Writer) end(e end) error {
	if !a.open {
		return errOrder
	}
	if err := a.flush(); err != nil {
		return err
	}
	a.open = false
	e.Bytes, e.SHA256 = a.size, a.item.Sum(nil)
	a.sum.Bytes += a.size
	return a.json(pieceEnd, e)
}

// Close ends the archive. It does not close what it is written to.
func (a *Writer) Close() (Manifest, error) {
	if a.open {
		return a.sum, errOrder
	}
	if err := a.json(pieceManifest, a.sum); err != nil {
		return a.sum, err
	}
	if err := a.out.Flush(); err != nil { // so that all knows of it
		return a.sum, err
	}
	if err := a.piece(pieceDigest, a.all.Sum(nil)); err != nil {
		return a.sum, err
	}
	return a.sum, a.out.Flush()
}
