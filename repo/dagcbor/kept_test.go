package dagcbor_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"
)

// oddMap draws a map of another host's: what looks like something special and is not, among others.
func oddMap(t *rapid.T, depth int) []byte {
	type field struct {
		key   string
		value []byte
	}
	text := func(s string) []byte { return dagcbor.AppendText(nil, s) }
	v0, err := cid.Decode("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG")
	if err != nil {
		t.Fatal(err)
	}
	var fields []field
	for _, key := range []string{"", "a", "cid", "ref", "size", "$link", "$type", "$bytes", "mimeType", "longer key"} { // canonical order
		if !rapid.Bool().Draw(t, key) {
			continue
		}
		values := [][]byte{
			text(""), text("blob"), text("words"), text(rawCID), text(v0.String()), text("image/png"), text("AAAA"), text("AA=\n"), {0x00}, {0x20}, {0xf6}, {0xf5}, {0x80},
			dagcbor.AppendBytes(nil, []byte("x")), dagcbor.AppendLink(nil, v0), dagcbor.AppendLink(nil, dagcbor.RawCID([]byte("x"))),
			append(append([]byte{0xa1}, text("$link")...), text(rawCID)...), append(append([]byte{0xa1}, text("$bytes")...), text("§")...),
		}
		i := rapid.IntRange(0, len(values)+1).Draw(t, "value")
		switch {
		case i < len(values):
			fields = append(fields, field{key, values[i]})
		case depth > 0:
			fields = append(fields, field{key, oddMap(t, depth-1)})
		}
	}
	b := dagcbor.AppendMapHead(nil, len(fields))
	for _, f := range fields {
		b = append(append(b, text(f.key)...), f.value...)
	}
	return b
}

// Whatever a record of another host is, what a client makes of it that got it as JSON and changed a field is taken back
// as its next state, and is legal. New records are as strict as ever.
func TestKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inner := oddMap(t, 2)
		stored := append(dagcbor.AppendText(append(dagcbor.AppendText(append(dagcbor.AppendText(dagcbor.AppendMapHead(nil, 3), "n"), 0x01), "odd"), inner...), "$type"), dagcbor.AppendText(nil, "com.example.a")...)
		if err := dagcbor.ValidateRecord(stored); err != nil {
			t.Fatal(err)
		}
		text, err := dagcbor.ToJSON(nil, stored)
		if err != nil {
			t.Fatal(err)
		}
		edited := bytes.Replace(text, []byte(`"n":1`), []byte(`"n":22,"new":[1,2]`), 1)
		block, err := dagcbor.FromJSON(edited, dagcbor.Limits{Type: "com.example.a", Kept: stored})
		if err != nil {
			t.Fatalf("%s: %v", edited, err)
		}
		if err := dagcbor.ValidateRecord(block); err != nil {
			t.Fatalf("%s: %v", edited, err)
		}
		before, err1 := dagcbor.Blobs(stored)
		after, err2 := dagcbor.Blobs(block)
		if err1 != nil || err2 != nil || len(before) != len(after) {
			t.Fatalf("%s: %v, %v; %v, %v", edited, before, after, err1, err2)
		}
		// What was taken is taken again, and renewing blobs leaves a legal record that names the same.
		again, err := dagcbor.ToJSON(nil, block)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := dagcbor.FromJSON(again, dagcbor.Limits{Type: "com.example.a", Kept: block}); err != nil || !bytes.Equal(b, block) {
			t.Fatalf("%s: %v", again, err)
		}
		renewed, n, err := dagcbor.RenewBlobs(block, func(dagcbor.BlobRef) (string, int64, bool) { return "image/webp", 1 << 33, true })
		if err != nil || dagcbor.ValidateRecord(renewed) != nil {
			t.Fatalf("%s: %v", again, err)
		}
		now, err := dagcbor.Blobs(renewed)
		if err != nil || len(now) != len(after) {
			t.Fatalf("%v, %v, %v", now, after, err)
		}
		for i, b := range now {
			if b.CID != after[i].CID || b.Shape == dagcbor.BlobOld || after[i].Shape == dagcbor.BlobOld && (b.Size != 1<<33 || b.MimeType != "image/webp") {
				t.Fatalf("%+v, %+v", b, after[i])
			}
			if after[i].Shape == dagcbor.BlobOld {
				n--
			}
		}
		if n != 0 {
			t.Fatalf("%d more were renewed than there were", n)
		}
	})
}

// What the record that is replaced does not say is refused in an update, too.
func TestKeptIsNoMore(t *testing.T) {
	stored, err := dagcbor.FromJSON([]byte(`{"$type":"com.example.old","a":{"$link":"no link"},"b":{"$type":""},"avatar":{"cid":"`+rawCID+`","mimeType":"image/png"}}`), dagcbor.Limits{Foreign: true})
	if err != nil {
		t.Fatal(err)
	}
	lim := dagcbor.Limits{Type: "com.example.a", Kept: stored}
	for text, want := range map[string]error{
		`{"$type":"com.example.old","z":{"$link":"no link"}}`:                                              nil,
		`{"$type":"com.example.old","z":{"$type":"","text":"changed"}}`:                                    nil,
		`{"$type":"com.example.a","banner":{"cid":"` + rawCID + `","mimeType":"image/png"}}`:               nil,
		`{"$type":"com.example.a","z":{"$link":"no links"}}`:                                               dagcbor.ErrLink,
		`{"$type":"com.example.other"}`:                                                                    dagcbor.ErrType,
		`{"$type":""}`:                                                                                     dagcbor.ErrType,
		`{"z":{"$bytes":"§"}}`:                                                                             dagcbor.ErrBytes,
		`{"z":{"$type":1}}`:                                                                                dagcbor.ErrType,
		`{"banner":{"cid":"` + rawCID + `","mimeType":"image/gif"}}`:                                       dagcbor.ErrLegacyBlob,
		`{"z":{"$type":"blob","ref":{"$link":"` + rawCID + `"},"mimeType":"image/png","size":-1}}`:         dagcbor.ErrBlob,
		`{"z":{"$link":"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"}}`:                                 dagcbor.ErrLink,
		`{"z":"` + strings.Repeat("x", dagcbor.MaxRecordSize) + `","$type":"com.example.a","text":"long"}`: dagcbor.ErrSize,
	} {
		if _, err := dagcbor.FromJSON([]byte(text), lim); !errors.Is(err, want) {
			t.Errorf("%.80s: %v, want %v", text, err, want)
		}
	}
	large := append(dagcbor.AppendText(dagcbor.AppendMapHead(nil, 1), "a"), dagcbor.AppendText(nil, strings.Repeat("x", dagcbor.MaxRecordSize+100))...)
	for size, want := range map[int]error{dagcbor.MaxForeignSize - 8: nil, dagcbor.MaxForeignSize: dagcbor.ErrSize} {
		if _, err := dagcbor.FromJSON([]byte(`{"a":"`+strings.Repeat("y", size)+`"}`), dagcbor.Limits{Kept: large}); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
