package contentcoding

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/andybalholm/brotli"
)

func TestParse(t *testing.T) {
	for header, want := range map[string][]string{
		"": nil, "identity": nil, " GZIP ": {GZip}, "x-gzip": {GZip}, "gzip, br": {Brotli, GZip}, "deflate,identity,lzw": {"lzw", Deflate},
	} {
		if got, err := Parse(header); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q %v", header, got, err)
		}
	}
	if _, err := Parse("gzip,,,gzip"); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
}

// TestOpen: what each coding's own writer made comes back, and what is cut or is none is an error.
func TestOpen(t *testing.T) {
	text := bytes.Repeat([]byte("a text that repeats itself. "), 100)
	raw := func(w io.Writer) io.WriteCloser {
		z, err := flate.NewWriter(w, flate.DefaultCompression)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	for _, tt := range []struct {
		coding string
		writer func(io.Writer) io.WriteCloser
	}{
		{GZip, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }},
		{Deflate, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }},
		{Deflate, raw},
		{Brotli, func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) }},
	} {
		var b bytes.Buffer
		w := tt.writer(&b)
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		read := func(from []byte) ([]byte, error) {
			r, err := Open(tt.coding, bytes.NewReader(from))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(r)
		}
		if got, err := read(b.Bytes()); err != nil || !bytes.Equal(got, text) || !Known(tt.coding) {
			t.Errorf("%s: %d bytes, %v", tt.coding, len(got), err)
		}
		for _, n := range []int{0, 1, b.Len() / 2} {
			if _, err := read(b.Bytes()[:n]); err == nil {
				t.Errorf("%s: cut at %d is no error", tt.coding, n)
			}
		}
	}
	if _, err := Open("lzw", nil); !errors.Is(err, ErrUnknown) || Known("lzw") {
		t.Error(err)
	}
}
