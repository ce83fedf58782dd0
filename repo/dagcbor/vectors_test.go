package dagcbor_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/dagcbor/dagcbortest"
)

const (
	linkCBOR = "d82a58250001711220" + zeros32
	linkRaw  = "d82a58250001551220" + zeros32
	zeros32  = "0000000000000000000000000000000000000000000000000000000000000000"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		hex  string
		want error // of Validate
	}{
		{"00", nil},
		{"17", nil},
		{"1818", nil},
		{"20", nil},
		{"1b7fffffffffffffff", nil},
		{"3b7fffffffffffffff", nil},
		{"f4", nil},
		{"f5", nil},
		{"f6", nil},
		{"40", nil},
		{"60", nil},
		{"80", nil},
		{"a0", nil},
		{"62c3bc", nil},
		{"a26161006162f6", nil},
		{"a2616200626161f6", nil}, // "b" before "aa": length first
		{linkCBOR, nil},
		{linkRaw, nil},
		{"", dagcbor.ErrTruncated},
		{"18", dagcbor.ErrTruncated},
		{"1817", dagcbor.ErrNotMinimal},
		{"1900ff", dagcbor.ErrNotMinimal},
		{"1a0000ffff", dagcbor.ErrNotMinimal},
		{"1b00000000ffffffff", dagcbor.ErrNotMinimal},
		{"1b8000000000000000", dagcbor.ErrIntRange},
		{"3b8000000000000000", dagcbor.ErrIntRange},
		{"1c", dagcbor.ErrReserved},
		{"1f", dagcbor.ErrIndefinite},
		{"5f4100ff", dagcbor.ErrIndefinite},
		{"9fff", dagcbor.ErrIndefinite},
		{"bfff", dagcbor.ErrIndefinite},
		{"ff", dagcbor.ErrIndefinite},
		{"f7", dagcbor.ErrSimple},
		{"f3", dagcbor.ErrSimple},
		{"f820", dagcbor.ErrSimple},
		{"f814", dagcbor.ErrSimple},
		{"f90000", dagcbor.ErrFloat},
		{"fa3f800000", dagcbor.ErrFloat},
		{"fb3ff0000000000000", dagcbor.ErrFloat},
		{"c100", dagcbor.ErrTag},
		{"d9d9f700", dagcbor.ErrTag},
		{"d9002a" + linkCBOR[4:], dagcbor.ErrNotMinimal},
		{"d82a4100", dagcbor.ErrLink},
		{"d82a6100", dagcbor.ErrLink},
		{"d82a" + "5824" + "01711220" + zeros32, dagcbor.ErrLink},
		{"d82a" + "582300" + "1220" + zeros32, dagcbor.ErrLink}, // version 0: others' records only
		{"d82a", dagcbor.ErrTruncated},
		{"61ff", dagcbor.ErrUTF8},
		{"63eda080", dagcbor.ErrUTF8}, // a surrogate
		{"6161" + "00", dagcbor.ErrTrailing},
		{"62" + "61", dagcbor.ErrTruncated},
		{"9b7fffffffffffffff", dagcbor.ErrTruncated},
		{"bb7fffffffffffffff", dagcbor.ErrTruncated},
		{"7b7fffffffffffffff", dagcbor.ErrTruncated},
		{"a10000", dagcbor.ErrKeyType},
		{"a1410000", dagcbor.ErrKeyType},
		{"a1780161" + "00", dagcbor.ErrNotMinimal},
		{"a161ff00", dagcbor.ErrUTF8},
		{"a26162006161f6", dagcbor.ErrKeyOrder},
		{"a262616100616200", dagcbor.ErrKeyOrder}, // alphabetical
		{"a26161006161f6", dagcbor.ErrDuplicate},
		{"a16161", dagcbor.ErrTruncated},
		{"a1", dagcbor.ErrTruncated},
	} {
		b, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		err = dagcbor.Validate(b)
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("Validate(%s) = %v, want %v", c.hex, err, c.want)
		}
		// Readers of unchecked bytes must say no as well, or at least survive.
		if _, err := dagcbortest.Decode(b); c.want != nil && err == nil && !strings.HasPrefix(c.hex, "d82a582300") {
			t.Errorf("Decode(%s) succeeded", c.hex)
		}
		if _, err := dagcbor.ToJSON(nil, b); c.want == nil && err != nil {
			t.Errorf("ToJSON(%s) = %v", c.hex, err)
		}
	}
}

func TestForeignLinks(t *testing.T) {
	for _, c := range []struct {
		hex string
		ok  bool
	}{
		{"d82a582300" + "1220" + zeros32, true},           // version 0
		{"d82a58250001701220" + zeros32, true},            // dag-pb
		{"d82a58250001551e20" + zeros32, true},            // BLAKE3
		{"d82a4400015500", false},                         // no digest length
		{"d82a45000155" + "0000", true},                   // empty identity
		{"d82a450001551200", false},                       // empty SHA-256
		{"d82a4500027112" + "00", false},                  // version 2
		{"d82a46000180001200", false},                     // varint not in its shortest form
		{"d82a58660001551261" + zeros32 + zeros32, false}, // longer than it has
		{"d82a586500015512" + "60" + zeros32 + zeros32 + zeros32, true},
		{"d82a586a00015512" + "65" + zeros32 + zeros32 + zeros32 + "0000000000", false}, // over 100 bytes
	} {
		b, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		if err := dagcbor.ValidateForeign(b); (err == nil) != c.ok {
			t.Errorf("ValidateForeign(%s) = %v", c.hex, err)
		}
		if err := dagcbor.Validate(b); err == nil {
			t.Errorf("Validate(%s) accepted", c.hex)
		}
		if _, err := dagcbortest.Decode(b); (err == nil) != c.ok {
			t.Errorf("Decode(%s) = %v", c.hex, err)
		}
	}
}

func TestDepth(t *testing.T) {
	nested := func(n int) []byte { return append([]byte(strings.Repeat("\x81", n)), 0) }
	if err := dagcbor.Validate(nested(dagcbor.MaxDepth)); err != nil {
		t.Error(err)
	}
	for _, n := range []int{dagcbor.MaxDepth + 1, 5_000, 4 << 20} {
		if err := dagcbor.Validate(nested(n)); !errors.Is(err, dagcbor.ErrDepth) {
			t.Errorf("%d arrays: %v", n, err)
		}
		if _, err := dagcbor.ToJSON(nil, nested(n)); !errors.Is(err, dagcbor.ErrDepth) {
			t.Errorf("ToJSON of %d arrays: %v", n, err)
		}
	}
	object := func(n int) []byte {
		return []byte(strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n))
	}
	if _, err := dagcbor.FromJSON(object(dagcbor.MaxDepth), dagcbor.Limits{}); err != nil {
		t.Error(err)
	}
	for _, n := range []int{dagcbor.MaxDepth + 1, 4_000, 100_000} {
		for _, text := range [][]byte{object(n), []byte(`{"a":` + strings.Repeat("[", n))} {
			_, err := dagcbor.FromJSON(text, dagcbor.Limits{})
			if !errors.Is(err, dagcbor.ErrDepth) {
				t.Errorf("%d levels: %v", n, err)
			} else if len(err.Error()) > 300 {
				t.Errorf("%d levels: error of %d bytes", n, len(err.Error()))
			}
		}
	}
	// A link at the deepest place is no level of its own.
	text := strings.Repeat(`{"a":`, 3) + `{"$bytes":"AA"}` + "}}}"
	if _, err := dagcbor.FromJSON([]byte(text), dagcbor.Limits{Depth: 3}); err != nil {
		t.Error(err)
	}
	if _, err := dagcbor.FromJSON([]byte(text), dagcbor.Limits{Depth: 2}); !errors.Is(err, dagcbor.ErrDepth) {
		t.Errorf("depth 2: %v", err)
	}
}

const (
	rawCID  = "bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity"
	cborCID = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"
	pbCID   = "QmQg1v4o9xdT3Q14wh4S7dxZkDjyZ9ssFzFzyep1YrVJBY"
)

func TestFromJSON(t *testing.T) {
	blob := func(fields string) string { return `{"$type":"blob",` + fields + `}` }
	ref := `"ref":{"$link":"` + rawCID + `"}`
	for _, c := range []struct {
		json string // value of the field a
		back string // what ToJSON gives; "" for the same
		want error
	}{
		{`1`, "", nil},
		{`-1`, "", nil},
		{`-0`, "0", nil},
		{`9007199254740993`, "", nil}, // 2^53 + 1
		{`9223372036854775807`, "", nil},
		{`-9223372036854775808`, "", nil},
		{`9223372036854775808`, "", dagcbor.ErrIntRange},
		{`-9223372036854775809`, "", dagcbor.ErrIntRange},
		{`18446744073709551616`, "", dagcbor.ErrIntRange},
		{`1e19`, "", dagcbor.ErrIntRange},
		{`1e400`, "", dagcbor.ErrIntRange},
		{`1e99999999999999999999999`, "", dagcbor.ErrIntRange},
		{`123.0`, "123", nil},
		{`9223372036854775807.0`, "9223372036854775807", nil},
		{`1.5e1`, "15", nil},
		{`1.50000000000000000000000000000`, "", dagcbor.ErrFloat},
		{`15000000000000000000000e-22`, "", dagcbor.ErrFloat},
		{`15000000000000000000000e-21`, "15", nil},
		{`1E+2`, "100", nil},
		{`100e-2`, "1", nil},
		{`0e5`, "0", nil},
		{`0.000e-99999999999999999999`, "0", nil},
		{`0.0000000000000000000000001e25`, "1", nil},
		{`-1.0`, "-1", nil},
		{`123.5`, "", dagcbor.ErrFloat},
		{`1e-1`, "", dagcbor.ErrFloat},
		{`01`, "", dagcbor.ErrJSON},
		{`-`, "", dagcbor.ErrJSON},
		{`+1`, "", dagcbor.ErrJSON},
		{`1.`, "", dagcbor.ErrJSON},
		{`.5`, "", dagcbor.ErrJSON},
		{`1e`, "", dagcbor.ErrJSON},
		{`1.e5`, "", dagcbor.ErrJSON},
		{`0x10`, "", dagcbor.ErrJSON},
		{`NaN`, "", dagcbor.ErrJSON},
		{`nul`, "", dagcbor.ErrJSON},
		{`[1,]`, "", dagcbor.ErrJSON},
		{`[,1]`, "", dagcbor.ErrJSON},
		{`[1 2]`, "", dagcbor.ErrJSON},
		{`{"b":1,}`, "", dagcbor.ErrJSON},
		{`{"b" 1}`, "", dagcbor.ErrJSON},
		{`{b:1}`, "", dagcbor.ErrJSON},
		{`'a'`, "", dagcbor.ErrJSON},
		{`"a`, "", dagcbor.ErrJSON},
		{"\"a\nb\"", "", dagcbor.ErrJSON},
		{`"\x41"`, "", dagcbor.ErrJSON},
		{`"\u12"`, "", dagcbor.ErrJSON},
		{`"` + "\ufeff" + `"`, "", nil},
		{`"\u0041\n\/"`, `"A\n/"`, nil},
		{`"\u0000\u001f"`, "", nil},
		{`"\ud83d\ude00"`, `"😀"`, nil},
		{`"\ud83d"`, "", dagcbor.ErrUTF8},
		{`"\ud83dx"`, "", dagcbor.ErrUTF8},
		{`"\ud83d\u0041"`, "", dagcbor.ErrUTF8},
		{`"\ude00"`, "", dagcbor.ErrUTF8},
		{"\"\xff\"", "", dagcbor.ErrUTF8},
		{"\"12345678\xc3\"", "", dagcbor.ErrUTF8},
		{"\"\xed\xa0\x80\"", "", dagcbor.ErrUTF8},
		{"\"\\u00e9\xff\"", "", dagcbor.ErrUTF8},
		{"{\"\xff\":1}", "", dagcbor.ErrUTF8},
		{`{"bb":1,"a":2,"c":3}`, `{"a":2,"c":3,"bb":1}`, nil},
		{`{"a":1,"a":1}`, "", dagcbor.ErrDuplicate},
		{`{"a":1,"b":2,"\u0061":3}`, "", dagcbor.ErrDuplicate},
		{`{"":1}`, "", nil},
		{`{"$link":"` + cborCID + `"}`, "", nil},
		{`{"$link":"` + rawCID + `"}`, "", nil},
		{`{"$link":"` + pbCID + `"}`, "", dagcbor.ErrLink},
		{`{"$link":"` + strings.ToUpper(rawCID) + `"}`, `{"$link":"` + rawCID + `"}`, nil}, // base32 in capitals is another multibase
		{`{"$link":"b` + strings.ToUpper(rawCID[1:]) + `"}`, "", dagcbor.ErrLink},
		{`{"$link":"` + rawCID[:58] + `z"}`, "", dagcbor.ErrLink}, // spare bits set
		{`{"$link":"` + rawCID + `a"}`, "", dagcbor.ErrLink},
		{`{"$link":""}`, "", dagcbor.ErrLink},
		{`{"$link":null}`, "", dagcbor.ErrLink},
		{`{"$link":"` + rawCID + `","b":1}`, "", dagcbor.ErrLink},
		{`{"$bytes":""}`, "", nil},
		{`{"$bytes":"AAE"}`, "", nil},
		{`{"$bytes":"AAE="}`, `{"$bytes":"AAE"}`, nil},
		{`{"$bytes":"AAE=="}`, "", dagcbor.ErrBytes},
		{`{"$bytes":"A"}`, "", dagcbor.ErrBytes},
		{`{"$bytes":"AA\nE="}`, "", dagcbor.ErrBytes},
		{`{"$bytes":"-_8"}`, "", dagcbor.ErrBytes},
		{`{"$bytes":1}`, "", dagcbor.ErrBytes},
		{`{"$bytes":"AA","$type":"x"}`, "", dagcbor.ErrBytes},
		{`{"$type":"x"}`, "", nil},
		{`{"$type":""}`, "", dagcbor.ErrType},
		{`{"$type":null}`, "", dagcbor.ErrType},
		{`{"$other":1}`, "", nil},
		{blob(ref + `,"mimeType":"image/jpeg","size":1`), `{` + ref + `,"size":1,"$type":"blob","mimeType":"image/jpeg"}`, nil},
		{blob(ref + `,"mimeType":"image/jpeg","size":1.5`), "", dagcbor.ErrFloat},
		{blob(ref + `,"mimeType":"image/jpeg","size":-1`), "", dagcbor.ErrBlob},
		{blob(ref + `,"mimeType":"image/jpeg","size":"1"`), "", dagcbor.ErrBlob},
		{blob(ref + `,"mimeType":"","size":1`), "", dagcbor.ErrBlob},
		{blob(ref + `,"mimeType":"image/jpeg"`), "", dagcbor.ErrBlob},
		{blob(ref + `,"mimeType":"image/jpeg","size":1,"x":1`), "", dagcbor.ErrBlob},
		{blob(`"ref":"` + rawCID + `","mimeType":"image/jpeg","size":1`), "", dagcbor.ErrBlob},
		{blob(`"ref":{"$link":"` + cborCID + `"},"mimeType":"image/jpeg","size":1`), "", dagcbor.ErrBlob},
		{`{"cid":"` + rawCID + `","mimeType":"image/jpeg"}`, "", dagcbor.ErrLegacyBlob},
		{`{"mimeType":"image/jpeg","cid":"` + pbCID + `"}`, "", dagcbor.ErrLegacyBlob},
		{`{"cid":"not one","mimeType":"image/jpeg"}`, "", nil},
		{`{"cid":"` + rawCID + `","mimeType":1}`, "", nil},
	} {
		got, err := dagcbor.FromJSON([]byte(`{"a":`+c.json+`}`), dagcbor.Limits{})
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("FromJSON(%s) = %v, want %v", c.json, err, c.want)
			continue
		}
		if err != nil {
			continue
		}
		if err := dagcbor.Validate(got); err != nil {
			t.Errorf("Validate(FromJSON(%s)) = %v", c.json, err)
		}
		text, err := dagcbor.ToJSON([]byte("+"), got)
		want := c.back
		if want == "" {
			want = c.json
		}
		if string(text) != `+{"a":`+want+`}` || err != nil {
			t.Errorf("ToJSON(FromJSON(%s)) = %s, %v", c.json, text, err)
		}
	}
	for text, want := range map[string]error{
		``:                           dagcbor.ErrJSON,
		` `:                          dagcbor.ErrJSON,
		`[]`:                         dagcbor.ErrNotObject,
		`"a"`:                        dagcbor.ErrNotObject,
		`null`:                       dagcbor.ErrNotObject,
		`{"$link":"` + rawCID + `"}`: dagcbor.ErrNotObject,
		`{"$bytes":"AA"}`:            dagcbor.ErrNotObject,
		`{} {}`:                      dagcbor.ErrJSON,
		"\ufeff{}":                   dagcbor.ErrNotObject,
		` {} ` + "\n":                nil,
	} {
		if _, err := dagcbor.FromJSON([]byte(text), dagcbor.Limits{}); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("FromJSON(%q) = %v, want %v", text, err, want)
		}
	}
}

func TestErrorsNameTheField(t *testing.T) {
	secret := strings.Repeat("s3cret", 1000)
	for text, path := range map[string]string{
		`{"a":{"b":[1,{"c":1.5}]}}`:                     "a.b[1].c",
		`{"a":{"` + secret + `":{"$link":1}}}`:          "a.?",
		`{"a":[{"$type":"blob","x":"` + secret + `"}]}`: "a[0]",
	} {
		_, err := dagcbor.FromJSON([]byte(text), dagcbor.Limits{})
		var e *dagcbor.Error
		if !errors.As(err, &e) || e.Path != path {
			t.Errorf("%.40s: %v, want path %s", text, err, path)
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%.40s: the error repeats the input", text)
		}
	}
}

func TestLimits(t *testing.T) {
	text := []byte(`{"a":"` + strings.Repeat("x", 1000) + `"}`)
	if _, err := dagcbor.FromJSON(text, dagcbor.Limits{Size: 1006}); err != nil {
		t.Error(err)
	}
	if _, err := dagcbor.FromJSON(text, dagcbor.Limits{Size: 1005}); !errors.Is(err, dagcbor.ErrSize) {
		t.Errorf("one byte too many: %v", err)
	}
	key := strings.Repeat("k", dagcbor.MaxKeyLen+1)
	if _, err := dagcbor.FromJSON([]byte(`{"`+key+`":1}`), dagcbor.Limits{}); !errors.Is(err, dagcbor.ErrKeyLength) {
		t.Errorf("long key: %v", err)
	}
	many := `{"a":[` + strings.Repeat("0,", dagcbor.MaxElements) + `0]}`
	if _, err := dagcbor.FromJSON([]byte(many), dagcbor.Limits{}); !errors.Is(err, dagcbor.ErrElements) {
		t.Errorf("many elements: %v", err)
	}
	if _, err := dagcbor.FromJSON([]byte(`{"a":{"$link":"`+pbCID+`"}}`), dagcbor.Limits{Foreign: true}); err != nil {
		t.Errorf("foreign link: %v", err)
	}
	legacy := []byte(`{"a":{"cid":"` + rawCID + `","mimeType":"image/jpeg"}}`)
	block, err := dagcbor.FromJSON(legacy, dagcbor.Limits{Foreign: true})
	if err != nil {
		t.Fatal(err)
	}
	refs, err := dagcbor.Blobs(block)
	if err != nil || len(refs) != 1 || refs[0].Shape != dagcbor.BlobOld || refs[0].CID.String() != rawCID || refs[0].Size != -1 {
		t.Errorf("legacy blob: %v, %v", refs, err)
	}
}

func TestRecordType(t *testing.T) {
	lim := dagcbor.Limits{Type: "com.example.thing"}
	for _, text := range []string{`{}`, `{"b":1}`, `{"z":1,"longer key":2}`, `{"$type":"com.example.thing"}`} {
		block, err := dagcbor.FromJSON([]byte(text), lim)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if err := dagcbor.Validate(block); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := dagcbor.Type(block); got != lim.Type {
			t.Errorf("%s: $type %q", text, got)
		}
	}
	_, err := dagcbor.FromJSON([]byte(`{"$type":"com.example.other"}`), lim)
	var wrong *dagcbor.TypeError
	if !errors.As(err, &wrong) || wrong.Got != "com.example.other" || !errors.Is(err, dagcbor.ErrType) {
		t.Errorf("other type: %v", err)
	}
	for _, text := range []string{`{"$type":""}`, `{"$type":1}`} {
		if _, err := dagcbor.FromJSON([]byte(text), lim); !errors.Is(err, dagcbor.ErrType) || errors.As(err, &wrong) && wrong == nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
