package vault

import (
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/blob/store"
)

const aName = "t_1-5f.20260101T000000Z-0123456789-k20260201-pds.test"

// An archive of which nobody can read what is said is listed by its name, beside the others, and can be deleted.
func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	files, err := store.OpenFiles("disk:"+dir, "", store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	v := New(files, time.Now)
	other := strings.Replace(aName, "20260101", "20260102", 1)
	for _, name := range []string{aName, other} {
		_, err := v.Add(t.Context(), Entry{Name: name, Hostname: "pds.test", MadeAt: time.Unix(9, 0), By: "me"}, func(w io.Writer, _ *Entry) error {
			_, err := w.Write([]byte("an archive"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	folder, rest, _ := strings.Cut(aName, ".")
	if _, err := files.Write(t.Context(), folder+"/"+rest+said, func(w io.Writer) error { _, err := w.Write([]byte("{")); return err }); err != nil {
		t.Fatal(err)
	}
	all, more, err := v.List(t.Context(), nil, "", 10)
	if err != nil || more || len(all) != 2 || all[0].By != "me" {
		t.Fatalf("%+v: %v", all, err)
	}
	want := Entry{Name: aName, Hostname: "pds.test", Schema: "t_1", By: Unreadable, MadeAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), KeepUntil: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)}
	if !reflect.DeepEqual(all[1], want) {
		t.Errorf("%+v", all[1])
	}
	if err := v.Remove(t.Context(), aName); err != nil {
		t.Error(err)
	}
	if all, _, err := v.List(t.Context(), nil, "", 10); err != nil || len(all) != 1 {
		t.Errorf("%+v: %v", all, err)
	}
}

// FuzzEntry: whatever is said of an archive, people can be told of it, and nothing in it is another archive's name.
func FuzzEntry(f *testing.F) {
	good, err := json.Marshal(Entry{Name: aName, Hostname: "pds.test", MadeAt: time.Unix(1, 0).UTC(), Bytes: 5, Recipients: []string{"age1x"}, KeepUntil: time.Unix(2, 0).UTC()})
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{string(good), "", "null", "{}", "[]", `{"hostname":"a","madeAt":"2026-01-01T00:00:00Z","bytes":-1}`, `{"hostname":"a","madeAt":"9999-12-31T23:59:59+23:59"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e := entryOf(aName, text)
		if e.Name != aName || e.Hostname == "" || e.MadeAt.IsZero() || e.Bytes < 0 {
			t.Errorf("%+v", e)
		}
		again, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("nobody can be told of it: %v", err)
		}
		if twice, err := json.Marshal(entryOf(aName, again)); err != nil || string(twice) != string(again) {
			t.Errorf("%s becomes %s: %v", again, twice, err)
		}
	})
}

// FuzzName: a name leads into one folder, to one file.
func FuzzName(f *testing.F) {
	f.Add(aName)
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
