package vault

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// FuzzEntry: what is said of an archive is read whole, or refused, and nothing in it is another archive's name.
func FuzzEntry(f *testing.F) {
	const name = "t_1-5f.20260101T000000Z-0123456789-k20260201-pds.test"
	good, err := json.Marshal(Entry{Name: name, Hostname: "pds.test", MadeAt: time.Unix(1, 0).UTC(), Bytes: 5, Recipients: []string{"age1x"}, KeepUntil: time.Unix(2, 0).UTC()})
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{string(good), "", "null", "{}", "[]", `{"hostname":"a","madeAt":"2026-01-01T00:00:00Z","bytes":-1}`, `{"hostname":"a","madeAt":"9999-12-31T23:59:59+23:59"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := entryOf(name, text)
		if err != nil {
			if !errors.Is(err, ErrStore) || !reflect.DeepEqual(e, Entry{}) {
				t.Errorf("%+v: %v", e, err)
			}
			return
		}
		if e.Name != name || e.Hostname == "" || e.Bytes < 0 {
			t.Errorf("%+v", e)
		}
		again, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("nobody can be told of it: %v", err)
		}
		back, err := entryOf(name, again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if twice, err := json.Marshal(back); err != nil || string(twice) != string(again) {
			t.Errorf("%s becomes %s: %v", again, twice, err)
		}
	})
}

// FuzzName: a name leads into one folder, to one file.
func FuzzName(f *testing.F) {
	f.Add("t_1-5f.20260101T000000Z-0123456789-k20260201-pds.test")
	f.Add("../x.20260101T000000Z-0123456789-k0-a")
	f.Add("t_1-5f.20260101T000000Z-0123456789-k0-..")
	f.Fuzz(func(t *testing.T, name string) {
		file, err := fileOf(name)
		if err != nil {
			if !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
			return
		}
		if strings.Count(file, "/") != 1 || strings.HasPrefix(file, "/") || strings.ContainsAny(file, "\\\x00") || strings.HasPrefix(file, "..") {
			t.Errorf("%q leads to %q", name, file)
		}
		if back, ok := nameOf(file + said); !ok || back != name {
			t.Errorf("%q is said by %q", back, file)
		}
	})
}
