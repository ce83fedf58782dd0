package car_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/auroralocus/locus/internal/vectors"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/dagcbor"
)

type block struct {
	cid  cid.Cid
	data []byte
}

func readAll(r io.Reader, lim car.Limits) (roots []cid.Cid, blocks []block, err error) {
	cr, err := car.NewReader(r, lim)
	if err != nil {
		return nil, nil, err
	}
	for {
		c, data, err := cr.Next()
		if err == io.EOF {
			return cr.Roots(), blocks, nil
		}
		if err != nil {
			return cr.Roots(), blocks, err
		}
		blocks = append(blocks, block{c, data})
	}
}

func write(t testing.TB, roots []cid.Cid, blocks []block) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := car.NewWriter(&buf, roots...)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if err := w.Put(b.cid, b.data); err != nil {
			t.Fatal(err)
		}
	}
	return buf.Bytes()
}

func TestRealArchives(t *testing.T) {
	files := vectors.Files(t, "car", "real", "*.car")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		roots, blocks, err := readAll(bytes.NewReader(b), car.Limits{})
		if err != nil || len(roots) != 1 || len(blocks) == 0 {
			t.Errorf("%s: %d roots, %d blocks, %v", filepath.Base(file), len(roots), len(blocks), err)
			continue
		}
		if again := write(t, roots, blocks); !bytes.Equal(again, b) {
			t.Errorf("%s: written again it differs", filepath.Base(file))
		}
		for _, cut := range []int{1, 30, 100} {
			if _, _, err := readAll(bytes.NewReader(b[:len(b)-cut]), car.Limits{}); !errors.Is(err, car.ErrTruncated) {
				t.Errorf("%s: %d bytes cut off: %v", filepath.Base(file), cut, err)
			}
		}
	}
	t.Logf("car/real: %d vectors", len(files))
}

func TestNegativeArchives(t *testing.T) {
	dir := vectors.Path(t, "car", "negative")
	if dir == "" {
		return
	}
	want := map[string]error{
		"badheaderlength.car":                  car.ErrLimit,
		"badsectionlength.car":                 car.ErrLimit,
		"carv2-sample-unixfs.car":              car.ErrVersion,
		"sample-v1-with-zero-len-section2.car": car.ErrCID, // its first section already has a BLAKE2b CID
	}
	for name, want := range want {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		allocated := testing.AllocsPerRun(1, func() {
			if _, _, err := readAll(bytes.NewReader(b), car.Limits{}); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		})
		if allocated > 100 {
			t.Errorf("%s: %v allocations", name, allocated)
		}
	}
	t.Logf("car/negative: %d vectors", len(want))
}

func TestReader(t *testing.T) {
	data := []byte("\xa1\x61a\x01")
	c := dagcbor.CID(data)
	good := write(t, []cid.Cid{c}, []block{{c, data}})
	head := car.AppendHeader(nil, c)
	section := func(n uint64, rest string) []byte {
		return append(binary.AppendUvarint(bytes.Clone(head), n), rest...)
	}
	raw := c.KeyString()
	header := func(s string) []byte { return append(binary.AppendUvarint(nil, uint64(len(s))), s...) }
	link := string(dagcbor.AppendLink(nil, c))
	for name, v := range map[string]struct {
		car  []byte
		want error
	}{
		"good":               {good, nil},
		"no block":           {head, nil},
		"no root":            {car.AppendHeader(nil), nil},
		"two roots":          {car.AppendHeader(nil, c, c), nil},
		"raw block":          {write(t, nil, []block{{dagcbor.RawCID(data), data}}), nil},
		"empty block":        {write(t, nil, []block{{dagcbor.RawCID(nil), nil}}), nil},
		"empty file":         {nil, car.ErrTruncated},
		"empty header":       {[]byte{0}, car.ErrHeader},
		"cut header":         {head[:10], car.ErrTruncated},
		"cut varint":         {append(bytes.Clone(head), 0x80), car.ErrTruncated},
		"cut CID":            {section(40, raw[:10]), car.ErrTruncated},
		"cut block":          {good[:len(good)-1], car.ErrTruncated},
		"zero section":       {append(bytes.Clone(good), 0), car.ErrSection},
		"tiny section":       {section(3, "abc"), car.ErrSection},
		"short section":      {section(35, raw[:35]), car.ErrCID},
		"digest":             {section(37, raw+"x"), car.ErrDigest},
		"identity CID":       {section(40, "\x01\x55\x00\x20"+strings.Repeat("a", 36)), car.ErrCID},
		"version 0 CID":      {section(40, "\x12\x20"+strings.Repeat("a", 38)), car.ErrCID},
		"huge section":       {section(1<<62, raw), car.ErrLimit},
		"overlong varint":    {append(bytes.Clone(head), "\xa8\x80\x00"+raw+"abcd"...), car.ErrVarint},
		"endless varint":     {append(bytes.Clone(head), bytes.Repeat([]byte{0xff}, 20)...), car.ErrVarint},
		"version 2":          {header("\xa1\x67version\x02"), car.ErrVersion},
		"version 3":          {header("\xa2\x65roots\x80\x67version\x03"), car.ErrVersion},
		"version text":       {header("\xa2\x65roots\x80\x67version\x611"), car.ErrHeader},
		"no roots":           {header("\xa1\x67version\x01"), car.ErrVersion},
		"roots null":         {header("\xa2\x65roots\xf6\x67version\x01"), car.ErrHeader},
		"root text":          {header("\xa2\x65roots\x81\x61a\x67version\x01"), car.ErrHeader},
		"header order":       {header("\xa2\x67version\x01\x65roots\x81" + link), car.ErrHeader},
		"header field":       {header("\xa3\x61a\x00\x65roots\x80\x67version\x01"), car.ErrHeader},
		"header trailing":    {header("\xa2\x65roots\x80\x67version\x01\x00"), car.ErrHeader},
		"header not minimal": {header("\xa2\x65roots\x80\x67version\x18\x01"), car.ErrHeader},
	} {
		for _, r := range []io.Reader{bytes.NewReader(v.car), iotest.OneByteReader(bytes.NewReader(v.car)), iotest.DataErrReader(bytes.NewReader(v.car))} {
			if _, _, err := readAll(r, car.Limits{}); !errors.Is(err, v.want) || (v.want == nil) != (err == nil) {
				t.Errorf("%s: %v, want %v", name, err, v.want)
			}
		}
	}

	broken := errors.New("broken pipe")
	r := io.MultiReader(bytes.NewReader(good[:len(good)-2]), iotest.ErrReader(broken))
	if _, _, err := readAll(r, car.Limits{}); !errors.Is(err, broken) {
		t.Errorf("read error: %v", err)
	}
}

func TestLimits(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 300_000) // larger than one slab
	blocks := []block{{dagcbor.RawCID(big), big}, {dagcbor.RawCID(nil), nil}}
	b := write(t, nil, blocks)
	for _, c := range []struct {
		lim  car.Limits
		want error
	}{
		{car.Limits{Block: len(big)}, nil},
		{car.Limits{Block: len(big) - 1}, car.ErrLimit},
		{car.Limits{Total: int64(len(b))}, nil},
		{car.Limits{Total: int64(len(b)) - 1}, car.ErrLimit},
		{car.Limits{Header: 10}, car.ErrLimit},
	} {
		_, got, err := readAll(bytes.NewReader(b), c.lim)
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%+v: %v, want %v", c.lim, err, c.want)
		}
		if err == nil && !bytes.Equal(got[0].data, big) {
			t.Errorf("%+v: other bytes", c.lim)
		}
	}
	// A length without the bytes allocates little.
	claim := binary.AppendUvarint(car.AppendHeader(nil), 5<<20)
	claim = append(claim, dagcbor.RawCID(nil).KeyString()...)
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := readAll(bytes.NewReader(claim), car.Limits{}); !errors.Is(err, car.ErrTruncated) {
				b.Fatal(err)
			}
		}
	})
	if n := result.AllocedBytesPerOp(); n > 300_000 {
		t.Errorf("%d bytes allocated for a claim", n)
	}
}

func TestWriter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var blocks []block
		var plain []byte
		var roots []cid.Cid
		for range rapid.IntRange(0, 3).Draw(rt, "roots") {
			roots = append(roots, dagcbor.CID(rapid.SliceOf(rapid.Byte()).Draw(rt, "root")))
		}
		plain = car.AppendHeader(plain, roots...)
		if len(plain) != car.HeaderLen(roots...) {
			rt.Fatalf("header of %d bytes, HeaderLen %d", len(plain), car.HeaderLen(roots...))
		}
		for range rapid.IntRange(0, 5).Draw(rt, "blocks") {
			data := bytes.Repeat([]byte{7}, rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(16_000, 70_000)).Draw(rt, "size"))
			blocks = append(blocks, block{dagcbor.CID(data), data})
			before := len(plain)
			plain = car.AppendSection(plain, dagcbor.CID(data), data)
			if n := len(plain) - before; n != car.SectionLen(len(data)) {
				rt.Fatalf("section of %d bytes, SectionLen %d", n, car.SectionLen(len(data)))
			}
		}
		b := write(t, roots, blocks)
		if !bytes.Equal(b, plain) {
			rt.Fatal("Writer and Append differ")
		}
		gotRoots, got, err := readAll(bytes.NewReader(b), car.Limits{})
		if err != nil || len(gotRoots) != len(roots) || len(got) != len(blocks) {
			rt.Fatalf("%d roots, %d blocks, %v", len(gotRoots), len(got), err)
		}
		for i := range got {
			if got[i].cid != blocks[i].cid || !bytes.Equal(got[i].data, blocks[i].data) {
				rt.Fatalf("block %d differs", i)
			}
		}
	})

	if _, err := car.NewWriter(io.Discard, cid.Undef); !errors.Is(err, car.ErrUndefinedCID) {
		t.Errorf("undefined root: %v", err)
	}
	w, err := car.NewWriter(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Put(cid.Undef, nil); !errors.Is(err, car.ErrUndefinedCID) {
		t.Errorf("undefined CID: %v", err)
	}
}

// FuzzCAR: no input crashes the reader or makes it allocate much; what it takes is written again byte for byte.
func FuzzCAR(f *testing.F) {
	data := []byte("\xa1\x61a\x01")
	c := dagcbor.CID(data)
	f.Add(write(f, []cid.Cid{c}, []block{{c, data}, {c, data}}))
	f.Add(write(f, nil, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		roots, blocks, err := readAll(bytes.NewReader(b), car.Limits{Total: 1 << 20})
		if err != nil {
			return
		}
		if again := write(t, roots, blocks); !bytes.Equal(again, b) {
			t.Fatalf("%x\nwritten again %x", b, again)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var blocks []block
	for i := range 10_000 {
		data := dagcbor.AppendBytes(nil, binary.BigEndian.AppendUint32(make([]byte, 240), uint32(i)))
		blocks = append(blocks, block{dagcbor.CID(data), data})
	}
	archive := write(b, []cid.Cid{blocks[0].cid}, blocks)
	b.Run("locus", func(b *testing.B) {
		b.SetBytes(int64(len(archive)))
		b.ReportAllocs()
		for b.Loop() {
			r, err := car.NewReader(bytes.NewReader(archive), car.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			for {
				if _, _, err := r.NextRaw(); err == io.EOF {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	data := make([]byte, 285)
	c := dagcbor.CID(data)
	w, err := car.NewWriter(io.Discard, c)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(car.SectionLen(len(data))))
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Put(c, data); err != nil {
			b.Fatal(err)
		}
	}
}
