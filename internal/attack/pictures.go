package main

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/jpeg"
	"net"
	"slices"
	"time"
)

// pictures asks for smaller copies of pictures whose decoding takes for ever.
var pictures = class{
	name: "pictures", what: "asks for smaller copies of pictures that take minutes to decode",
	clients: 8, slower: 60, grow: 400,
	prepare: func(f *field, ctx context.Context) error {
		var paths []string
		for i := range 120 {
			path, err := f.upload(ctx, f.b, ordinary(i))
			if err != nil {
				return err
			}
			paths = append(paths, path)
		}
		f.pictures = paths
		return nil
	},
	asks: func(f *field, ctx context.Context) error {
		n := int(f.picture.Add(1))
		_, err := f.fetch(ctx, f.pictures[n%len(f.pictures)])
		return err
	},
	start: func(ctx context.Context, f *field, n int) (*load, error) {
		var paths []string
		for i := range n {
			path, err := f.upload(ctx, f.a, endless(4000, 4000, 20_000+i))
			if err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
		l := newLoad(ctx)
		l.each(4*n, func(i int) {
			for l.ctx.Err() == nil {
				l.ask(f, i, paths[i%n])
				wait(l.ctx, 100*time.Millisecond)
			}
		})
		return l, nil
	},
}

// ask gets a path of A's, on a connection of its own.
func (l *load) ask(f *field, i int, path string) {
	var c net.Conn
	if c = l.dial(f); c != nil {
		defer l.drop(c)
		if request(c, "GET "+path, f.hostA, from(i, 10), "Connection: close") {
			drain(c)
		}
	}
}

// upload uploads a picture that a record names, and gives the path of a smaller copy.
func (f *field) upload(ctx context.Context, as account, picture []byte) (string, error) {
	var out struct {
		Blob struct {
			Ref struct {
				Link string `json:"$link"`
			} `json:"ref"`
		} `json:"blob"`
	}
	if err := f.send(ctx, as, "com.atproto.repo.uploadBlob", "image/jpeg", bytes.NewReader(picture), &out); err != nil {
		return "", err
	}
	link := out.Blob.Ref.Link
	err := f.call(ctx, as, "POST", "com.atproto.repo.createRecord", map[string]any{
		"repo": as.did, "collection": collection, "record": map[string]any{"picture": map[string]any{
			"$type": "blob", "ref": map[string]any{"$link": link}, "mimeType": "image/jpeg", "size": len(picture),
		}},
	}, nil)
	return "/img/avatar/" + as.did + "/" + link + "@jpeg", err
}

// ordinary is a picture like no other.
func ordinary(i int) []byte {
	m := image.NewRGBA(image.Rect(0, 0, 300, 300))
	for y := range 300 {
		for x := range 300 {
			m.Set(x, y, color.RGBA{uint8(x + i), uint8(y), uint8(i), 255})
		}
	}
	var out bytes.Buffer
	_ = jpeg.Encode(&out, m, nil) // into memory: never fails
	return out.Bytes()
}

// endless is a grey JPEG of many scans, each of which says in few bytes, for each block, that nothing changes.
func endless(w, h, scans int) []byte {
	segment := func(marker byte, data ...byte) []byte {
		return append([]byte{0xff, marker, byte((len(data) + 2) >> 8), byte(len(data) + 2)}, data...)
	}
	codes := func(kind byte, symbols ...byte) []byte { // 0 is the first symbol, 10 the second
		return segment(0xc4, slices.Concat([]byte{kind, 1, 1}, make([]byte, 14), symbols)...)
	}
	quant := bytes.Repeat([]byte{1}, 65)
	quant[0] = 0
	out := slices.Concat([]byte{0xff, 0xd8}, segment(0xdb, quant...),
		segment(0xc2, 8, byte(h>>8), byte(h), byte(w>>8), byte(w), 1, 1, 0x11, 0),
		codes(0x00, 0, 7), codes(0x10, 0, 0xe0), segment(0xda, 1, 1, 0, 0, 0, 0))
	blocks := (w + 7) / 8 * ((h + 7) / 8)
	out = append(out, make([]byte, (blocks+7)/8)...) // the mean of each block: as before
	scan := segment(0xda, 1, 1, 0, 1, 63, 0)
	for left := blocks; left > 0; left -= 1<<15 - 1 {
		scan = append(scan, 0xbf, 0xff, 0) // "nothing more in 32,767 blocks"; 0 behind ff is no marker
	}
	return append(append(out, bytes.Repeat(scan, scans)...), 0xff, 0xd9)
}
