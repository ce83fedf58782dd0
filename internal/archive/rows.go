package archive

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// copyHead begins Postgres's binary format of COPY: its signature, no flags, no extension.
const copyHead = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"

// maxRow bounds a row that is looked into: it has keys, never files.
const maxRow = 16 << 20

// row is the columns of a row by their names; null is nil.
type row map[string][]byte

func (r row) text(column string) string { return string(r[column]) }

// int reads a smallint, int or bigint; 0 is also what is null, and what is none.
func (r row) int(column string) int64 {
	switch b := r[column]; len(b) {
	case 2:
		return int64(int16(binary.BigEndian.Uint16(b)))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(b)))
	case 8:
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// eachRow copies rows from r to w, changed by change: it may put another value in a column's place, and leaves a row out
// by answering false. kept is how many were written.
func eachRow(w io.Writer, r io.Reader, columns []string, change func(row) (keep bool, err error)) (kept int64, err error) {
	in, out := bufio.NewReaderSize(r, 64<<10), bufio.NewWriterSize(w, 64<<10)
	head := make([]byte, len(copyHead))
	if _, err := io.ReadFull(in, head); err != nil {
		return 0, damagedRows(err)
	}
	if string(head) != copyHead {
		return 0, fmt.Errorf("%w: rows are not in the binary format of COPY", ErrDamaged)
	}
	if _, err := out.Write(head); err != nil {
		return 0, err
	}
	one := make(row, len(columns))
	for {
		more, err := readRow(in, columns, one)
		if err != nil {
			return kept, damagedRows(err)
		}
		if !more {
			break
		}
		keep, err := change(one)
		if err != nil {
			return kept, err
		}
		if !keep {
			continue
		}
		kept++
		if err := writeRow(out, columns, one); err != nil {
			return kept, err
		}
	}
	if _, err := out.Write([]byte{0xff, 0xff}); err != nil {
		return kept, err
	}
	return kept, out.Flush()
}

func damagedRows(err error) error { return fmt.Errorf("%w: rows end too soon: %w", ErrDamaged, err) }

// readRow reads a row; false: there is none any more.
func readRow(in *bufio.Reader, columns []string, into row) (bool, error) {
	var count int16
	if err := binary.Read(in, binary.BigEndian, &count); err != nil {
		return false, err
	}
	if count == -1 {
		return false, nil
	}
	if int(count) != len(columns) {
		return false, fmt.Errorf("a row of %d columns", count)
	}
	left := int64(maxRow)
	for _, name := range columns {
		var n int32
		if err := binary.Read(in, binary.BigEndian, &n); err != nil {
			return false, err
		}
		if n < -1 || int64(n) > left {
			return false, fmt.Errorf("a column of %d bytes", n)
		}
		if n == -1 {
			into[name] = nil
			continue
		}
		left -= int64(n)
		value := bytes.NewBuffer(make([]byte, 0, min(n, 64<<10)))
		if _, err := io.CopyN(value, in, int64(n)); err != nil {
			return false, err
		}
		into[name] = value.Bytes()
		if into[name] == nil {
			into[name] = []byte{}
		}
	}
	return true, nil
}

func writeRow(out *bufio.Writer, columns []string, r row) error {
	if err := binary.Write(out, binary.BigEndian, int16(len(columns))); err != nil {
		return err
	}
	for _, name := range columns {
		n := int32(len(r[name]))
		if r[name] == nil {
			n = -1
		}
		if err := binary.Write(out, binary.BigEndian, n); err != nil {
			return err
		}
		if _, err := out.Write(r[name]); err != nil {
			return err
		}
	}
	return nil
}
