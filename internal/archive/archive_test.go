package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
	"pgregory.net/rapid"
)

type wrote struct {
	table *Table
	blob  *Blob
	data  []byte
	rows  int64
}

// write makes an archive of what is drawn.
func write(t testing.TB, items []wrote) []byte {
	var out bytes.Buffer
	w, err := NewWriter(&out, Header{Program: "test", Schema: 3, Tenant: Tenant{Hostname: "a.test"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		if it.table != nil {
			err = errors.Join(w.Table(*it.table), put(w, it.data), w.EndTable(it.rows))
		} else {
			err = errors.Join(w.Blob(*it.blob), put(w, it.data), w.EndBlob(false))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func put(w io.Writer, p []byte) error {
	for len(p) > 0 {
		n := min(len(p), 1000)
		if _, err := w.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func draw(t *rapid.T) (items []wrote) {
	for i := range rapid.IntRange(0, 3).Draw(t, "tables") {
		items = append(items, wrote{table: &Table{Name: fmt.Sprint("t", i), Columns: []string{"a", "b"}}, rows: int64(i),
			data: bytes.Repeat([]byte{byte(i)}, rapid.SampledFrom([]int{0, 1, 999, maxPiece + 7}).Draw(t, "size"))})
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "blobs") {
		data := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "blob")
		items = append(items, wrote{blob: &Blob{AID: int64(i), CID: "bafk", Size: int64(len(data))}, data: data})
	}
	return items
}

// What is written is read, and nothing else is.
func TestArchive(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		items := draw(rt)
		file := write(t, items)
		r, err := NewReader(bytes.NewReader(file))
		if err != nil {
			rt.Fatal(err)
		}
		for _, want := range items {
			it, err := r.Next()
			if err != nil {
				rt.Fatal(err)
			}
			got, err := io.ReadAll(it)
			if err != nil || !bytes.Equal(got, want.data) || it.Rows != want.rows || (it.Table != nil) != (want.table != nil) {
				rt.Fatalf("%+v: %v", it, err)
			}
		}
		if _, err := r.Next(); err != io.EOF {
			rt.Fatal(err)
		}
		if cut := rapid.IntRange(0, len(file)-1).Draw(rt, "cut"); whole(file[:cut]) == nil {
			rt.Fatalf("the first %d of %d bytes are taken", cut, len(file))
		}
		at, bit := rapid.IntRange(0, len(file)-1).Draw(rt, "at"), rapid.IntRange(0, 7).Draw(rt, "bit")
		file[at] ^= 1 << bit
		if whole(file) == nil {
			rt.Fatalf("bit %d of byte %d is changed, and it is taken", bit, at)
		}
	})
}

func whole(file []byte) error {
	_, _, err := Verify(bytes.NewReader(file), nil)
	return err
}

// Of a small archive every truncation and every changed bit is found.
func TestDamage(t *testing.T) {
	file := write(t, []wrote{{table: &Table{Name: "t", Columns: []string{"a"}}, data: []byte("rows"), rows: 2}, {blob: &Blob{AID: 1, CID: "c", Size: 3}, data: []byte("abc")}})
	if err := whole(file); err != nil {
		t.Fatal(err)
	}
	for n := range file {
		if err := whole(file[:n]); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotArchive) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	for i := range len(file) * 8 {
		bad := bytes.Clone(file)
		bad[i/8] ^= 1 << (i % 8)
		if err := whole(bad); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotArchive) && !errors.Is(err, ErrTooNew) {
			t.Errorf("bit %d: %v", i, err)
		}
	}
	if err := whole(append(bytes.Clone(file), 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("something behind the end: %v", err)
	}
	if err := whole([]byte(strings.Replace(string(file), "locus archive 1", "locus archive 2", 1))); !errors.Is(err, ErrTooNew) {
		t.Errorf("another format: %v", err)
	}
}

// An encrypted archive opens for whom it is meant.
func TestEncryption(t *testing.T) {
	file := write(t, []wrote{{table: &Table{Name: "t", Columns: []string{"a"}}, data: bytes.Repeat([]byte("secret"), 20_000), rows: 2}})
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		lock   Lock
		opens  Keys
		closed Keys
	}{
		"recipient":  {Lock{Recipients: []string{id.Recipient().String()}}, Keys{Identities: "# a comment\n" + id.String()}, Keys{Identities: other.String()}},
		"passphrase": {Lock{Passphrase: "correct horse", workFactor: 10}, Keys{Passphrase: "correct horse"}, Keys{Passphrase: "wrong horse"}},
	} {
		var out bytes.Buffer
		w, err := c.lock.Wrap(&out)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := w.Write(file); err != nil {
			t.Fatal(name, err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(name, err)
		}
		if bytes.Contains(out.Bytes(), []byte("secret")) {
			t.Error(name, "the archive is open")
		}
		open := func(k Keys, sealed []byte) error {
			r, err := k.Unwrap(bytes.NewReader(sealed))
			if err != nil {
				return err
			}
			_, _, err = Verify(r, nil)
			return err
		}
		if err := open(c.opens, out.Bytes()); err != nil {
			t.Error(name, err)
		}
		if err := open(c.closed, out.Bytes()); !errors.Is(err, ErrWrongKey) {
			t.Errorf("%s: another key: %v", name, err)
		}
		if err := open(Keys{}, out.Bytes()); !errors.Is(err, ErrEncrypted) {
			t.Errorf("%s: no key: %v", name, err)
		}
		if err := open(c.opens, out.Bytes()[:out.Len()-1]); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: cut: %v", name, err)
		}
		if err := open(c.opens, out.Bytes()[:1000]); !errors.Is(err, ErrDamaged) { // in its first piece: nothing of it was read yet
			t.Errorf("%s: cut at the beginning: %v", name, err)
		}
	}
	if err := (Lock{Recipients: []string{"age1nonsense"}}).Check(); err == nil {
		t.Error("a recipient that is none")
	}
}

// Whatever it is given, the reader answers with little memory.
func FuzzReader(f *testing.F) {
	f.Add(write(f, []wrote{{table: &Table{Name: "t", Columns: []string{"a"}}, data: []byte("rows"), rows: 1}}))
	f.Add([]byte(magic + "H\x00\x00\x00\x02{}M\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if err := whole(file); err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotArchive) && !errors.Is(err, ErrTooNew) {
			t.Error(err)
		}
	})
}

// FuzzRows: rows that are looked into come out as they went in, or are refused.
func FuzzRows(f *testing.F) {
	cell := func(n uint32, text string) string { return string(binary.BigEndian.AppendUint32(nil, n)) + text }
	f.Add([]byte(copyHead+"\x00\x02"+cell(3, "abc")+cell(1<<32-1, "")+"\xff\xff"), 2)
	f.Add([]byte(copyHead+"\xff\xff"), 0)
	f.Add([]byte(copyHead+"\x00\x01"+cell(1<<31-1, "x")), 1)
	f.Fuzz(func(t *testing.T, text []byte, columns int) {
		names := make([]string, columns&15)
		for i := range names {
			names[i] = string(rune('a' + i))
		}
		var out bytes.Buffer
		rows := int64(0)
		kept, err := eachRow(&out, bytes.NewReader(text), names, func(r row) (bool, error) {
			rows++
			for _, name := range names {
				_, _ = r.int(name), r.text(name)
			}
			return true, nil
		})
		switch {
		case err != nil && !errors.Is(err, ErrDamaged):
			t.Error(err)
		case err == nil && (kept != rows || !bytes.HasPrefix(text, out.Bytes())):
			t.Errorf("%d of %d rows, %d bytes of %d", kept, rows, out.Len(), len(text))
		}
		// Left out, nothing of them comes.
		out.Reset()
		if kept, err := eachRow(&out, bytes.NewReader(text), names, func(row) (bool, error) { return false, nil }); err == nil && (kept != 0 || out.Len() != len(copyHead)+2) {
			t.Errorf("%d rows, %d bytes", kept, out.Len())
		}
	})
}
