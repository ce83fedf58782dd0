package dagcbor_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/vectors"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/dagcbor/dagcbortest"
)

func readJSON(t testing.TB, file string, v any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// dataModelDirs are the places the interop files may be: the fixtures, and
// indigo's own copy in the module cache.
func dataModelDirs(t *testing.T) []string {
	var dirs []string
	if dir := vectors.Path(t, "data-model"); dir != "" {
		dirs = append(dirs, dir)
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/bluesky-social/indigo").Output()
	if err != nil {
		t.Fatalf("find indigo: %v", err)
	}
	return append(dirs, filepath.Join(strings.TrimSpace(string(out)), "atproto/atdata/testdata"))
}

func TestDataModelFixtures(t *testing.T) {
	n := 0
	for _, dir := range dataModelDirs(t) {
		var blocks []struct {
			JSON json.RawMessage `json:"json"`
			CBOR string          `json:"cbor_base64"`
			CID  string          `json:"cid"`
		}
		readJSON(t, filepath.Join(dir, "data-model-fixtures.json"), &blocks)
		for i, f := range blocks {
			n++
			want, err := base64.RawStdEncoding.DecodeString(f.CBOR)
			if err != nil {
				t.Fatal(err)
			}
			got, err := dagcbor.FromJSON(f.JSON, dagcbor.Limits{})
			if err != nil {
				t.Errorf("fixture %d: %v", i, err)
				continue
			}
			if string(got) != string(want) {
				t.Errorf("fixture %d: got %x, want %x", i, got, want)
			}
			if c := dagcbor.CID(got).String(); c != f.CID {
				t.Errorf("fixture %d: CID %s, want %s", i, c, f.CID)
			}
			if err := dagcbor.Validate(want); err != nil {
				t.Errorf("fixture %d: %v", i, err)
			}
			roundTrip(t, want)
		}
		for _, kind := range []string{"valid", "invalid"} {
			var cases []struct {
				Note string          `json:"note"`
				JSON json.RawMessage `json:"json"`
			}
			readJSON(t, filepath.Join(dir, "data-model-"+kind+".json"), &cases)
			for _, c := range cases {
				n++
				block, err := dagcbor.FromJSON(c.JSON, dagcbor.Limits{})
				if (err == nil) != (kind == "valid") {
					t.Errorf("%s: %s: %v", kind, c.Note, err)
				}
				if err == nil {
					roundTrip(t, block)
				}
			}
		}
	}
	t.Logf("data-model: %d vectors", n)
}

// roundTrip checks that a block survives the way to JSON and back.
func roundTrip(t testing.TB, block []byte) {
	t.Helper()
	text, err := dagcbor.ToJSON(nil, block)
	if err != nil {
		t.Errorf("ToJSON(%x): %v", block, err)
		return
	}
	if !json.Valid(text) {
		t.Errorf("ToJSON(%x) is not JSON: %s", block, text)
	}
	back, err := dagcbor.FromJSON(text, dagcbor.Limits{Size: dagcbor.MaxItemSize, Foreign: true})
	if err != nil {
		t.Errorf("FromJSON(ToJSON(%x)): %v", block, err)
		return
	}
	if string(back) != string(block) {
		t.Errorf("FromJSON(ToJSON(%x)) = %x", block, back)
	}
}

func TestDASL(t *testing.T) {
	files := vectors.Files(t, "dag-cbor", "dasl", "*.json")
	n := 0
	for _, file := range files {
		var cases []struct {
			Type, Data, Name string
			Tags             []string
		}
		readJSON(t, file, &cases)
		for _, c := range cases {
			if !slices.ContainsFunc(c.Tags, func(tag string) bool {
				return tag == "basic" || tag == "dag-cbor" || tag == "dasl-cid"
			}) {
				continue // rules of another profile
			}
			n++
			b, err := hex.DecodeString(c.Data)
			if err != nil {
				t.Fatal(err)
			}
			err = dagcbor.Validate(b)
			valid := c.Type == "roundtrip"
			var why error // what atproto's narrower model says of inputs that are fine in DAG-CBOR
			switch {
			case !valid:
			case b[0]>>5 == dagcbor.MajorOther && b[0] != 0xf6:
				valid, why = false, dagcbor.ErrFloat
			case c.Data == "1bffffffffffffffff" || c.Data == "3bffffffffffffffff":
				valid, why = false, dagcbor.ErrIntRange
			case c.Name == "Big DASL CID": // BLAKE3: read in others' records, never written
				valid, why = false, dagcbor.ErrLink
				if err := dagcbor.ValidateForeign(b); err != nil {
					t.Errorf("%s: %v", c.Name, err)
				}
			}
			if valid != (err == nil) || !errors.Is(err, why) && why != nil {
				t.Errorf("%s %s (%s): %v", c.Type, c.Name, c.Data, err)
			}
			if _, err := dagcbor.ToJSON(nil, b); valid && err != nil {
				t.Errorf("ToJSON of %s (%s): %v", c.Name, c.Data, err)
			}
		}
	}
	t.Logf("dasl: %d vectors", n)
}

func TestIPLD(t *testing.T) {
	files := vectors.Files(t, "dag-cbor", "ipld", "valid", "*.dag-cbor")
	outside := map[error]int{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(filepath.Base(file), ".")
		name, want := strings.Join(parts[:len(parts)-2], "."), parts[len(parts)-2]
		if got := dagcbor.CID(b).String(); got != want {
			t.Errorf("%s: CID %s, want %s", name, got, want)
		}
		err = dagcbor.ValidateForeign(b)
		var why *dagcbor.Error
		if errors.As(err, &why) {
			outside[why.Err]++
			switch {
			case errors.Is(err, dagcbor.ErrFloat) && (strings.HasPrefix(name, "float-") || strings.HasPrefix(name, "garbage-")):
			case errors.Is(err, dagcbor.ErrIntRange) && strings.HasPrefix(name, "int-"):
			default:
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if _, err := dagcbortest.Decode(b); err != nil {
			t.Errorf("%s: Decode: %v", name, err)
		}
		if _, err := dagcbor.ToJSON(nil, b); err != nil {
			t.Errorf("%s: ToJSON: %v", name, err)
		}
	}
	var negative []struct{ Name, Hex string }
	vectors.JSON(t, &negative, "dag-cbor", "ipld", "negative", "duplicate-keys.json")
	for _, c := range negative {
		b, err := hex.DecodeString(c.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if err := dagcbor.ValidateForeign(b); err == nil {
			t.Errorf("%s: accepted", c.Name)
		}
	}
	t.Logf("ipld: %d vectors, outside the atproto model: %v", len(files)+len(negative), outside)
}

func TestRealRecords(t *testing.T) {
	files := vectors.Files(t, "records", "*")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := dagcbor.ValidateRecord(b); err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
		roundTrip(t, b)
		if got := dagcbor.Type(b); got != "app.bsky.feed.post" {
			t.Errorf("%s: $type %q", filepath.Base(file), got)
		}
	}
	t.Logf("records: %d vectors", len(files))
}
