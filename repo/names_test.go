package repo_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluesky-social/indigo/atproto/syntax"
	"pgregory.net/rapid"

	"github.com/auroralocus/locus/internal/vectors"
	"github.com/auroralocus/locus/repo"
)

// syntaxLines reads a list of the interop tests behind own ones.
func syntaxLines(t *testing.T, name string, own ...string) []string {
	t.Helper()
	theirs := vectors.Lines(t, "syntax", name)
	t.Logf("%s: %d vectors", name, len(theirs))
	return append(own, theirs...)
}

func TestTIDSyntax(t *testing.T) {
	for _, s := range syntaxLines(t, "tid_syntax_valid.txt", "3jzfcijpj2z2a", "2222222222222", "7777777777777", "bzzzzzzzzzzzz") {
		tid, err := repo.ParseTID(s)
		if err != nil || tid.String() != s || tid < 0 {
			t.Errorf("%s: %s, %v", s, tid, err)
		}
	}
	for _, s := range syntaxLines(t, "tid_syntax_invalid.txt", "", "3jzfcijpj2z21", "3JZFCIJPJ2Z2A", "3jzfcijpj2z2aa", "c222222222222", "kjzfcijpj2z2a") {
		if tid, err := repo.ParseTID(s); !errors.Is(err, repo.ErrTID) {
			t.Errorf("%q: %s, %v", s, tid, err)
		}
	}
}

func TestTIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		micro := rapid.Int64Range(0, 1<<53-1).Draw(t, "micro")
		id := rapid.IntRange(0, 1023).Draw(t, "clock")
		tid := repo.NewTID(time.UnixMicro(micro), id)
		if again, err := repo.ParseTID(tid.String()); err != nil || again != tid {
			t.Fatalf("%d: %s: %d, %v", tid, tid, again, err)
		}
		if got := tid.Time().UnixMicro(); got != micro || int(tid)&1023 != id {
			t.Fatalf("%s is of %d, want %d", tid, got, micro)
		}
		want := syntax.NewTID(micro, uint(id))
		if tid.String() != want.String() {
			t.Fatalf("%s, indigo's %s", tid, want)
		}
		other := repo.TID(rapid.Int64Range(0, 1<<63-1).Draw(t, "other"))
		if (tid < other) != (tid.String() < other.String()) {
			t.Fatalf("%s and %s sort differently", tid, other)
		}
		if next := repo.NextRev(other>>1, time.UnixMicro(micro)); next <= other>>1 || next < repo.NewTID(time.UnixMicro(micro), 0) {
			t.Fatalf("%s does not follow %s", next, other>>1)
		}
	})
}

func TestNextRev(t *testing.T) {
	now := time.UnixMicro(1_700_000_000_000_000)
	first := repo.NextRev(0, now)
	if first != repo.NewTID(now, 0) {
		t.Errorf("first rev %s", first)
	}
	second := repo.NextRev(first, now)
	third := repo.NextRev(second|5, now.Add(-time.Hour))
	if second != repo.NewTID(now.Add(time.Microsecond), 0) || third != repo.NewTID(now.Add(2*time.Microsecond), 0) {
		t.Errorf("%s, %s, %s", first, second, third)
	}
	if rev := repo.NextRev(third, now.Add(time.Second)); rev != repo.NewTID(now.Add(time.Second), 0) {
		t.Errorf("rev %s", rev)
	}
}

func TestClock(t *testing.T) {
	now := time.UnixMicro(1_700_000_000_000_000)
	step := []time.Duration{0, time.Microsecond, 0, 0, -time.Hour, time.Nanosecond, 2 * time.Hour}
	i := 0
	c := repo.NewClock(func() time.Time { now = now.Add(step[i%len(step)]); i++; return now }, 17)
	var last repo.TID
	for range 100 {
		tid := c.Next()
		if tid <= last || tid&1023 != 17 {
			t.Fatalf("%s behind %s", tid, last)
		}
		last = tid
	}
}

func FuzzTID(f *testing.F) {
	f.Add("3jzfcijpj2z2a")
	f.Add("bzzzzzzzzzzzz")
	f.Add("zzzzzzzzzzzzz")
	f.Fuzz(func(t *testing.T, s string) {
		tid, err := repo.ParseTID(s)
		if err == nil && tid.String() != s {
			t.Fatalf("%q is read as %s", s, tid)
		}
		if _, theirs := syntax.ParseTID(s); (theirs == nil) != (err == nil) && s[0] < 'c' {
			t.Fatalf("%q: %v, indigo: %v", s, err, theirs)
		}
	})
}

func TestCollections(t *testing.T) {
	for _, s := range syntaxLines(t, "nsid_syntax_valid.txt", "app.bsky.feed.post", "a.b.c", "com.example.fooBar2", "a-0.b-1.c", "cn.8.lex.stuff") {
		if s != strings.ToLower(s[:strings.LastIndexByte(s, '.')])+s[strings.LastIndexByte(s, '.'):] {
			continue // legal, but not in the normal form
		}
		if err := repo.CheckCollection(s); err != nil {
			t.Error(err)
		}
	}
	own := []string{"", "a", "a.b", "a..b", ".a.b.c", "a.b.c.", "com.exaMple.foo", "8.b.c", "com.example.foo-bar", "com.-x.foo",
		"com.x-.foo", "com.example.3", "com.example.fo_o", "com.éxample.foo", "com.example." + strings.Repeat("o", 64),
		"com." + strings.Repeat("o", 64) + ".foo", strings.Repeat("middle.", 45) + "foo", "com.example.foo/", "com.example. foo"}
	for _, s := range syntaxLines(t, "nsid_syntax_invalid.txt", own...) {
		if err := repo.CheckCollection(s); !errors.Is(err, repo.ErrPath) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestRecordKeys(t *testing.T) {
	for _, s := range syntaxLines(t, "recordkey_syntax_valid.txt", "self", "3jzfcijpj2z2a", "a:b", "...", "~._:-", strings.Repeat("o", 512)) {
		if err := repo.CheckRecordKey(s); err != nil {
			t.Error(err)
		}
		if c, r, err := repo.ParsePath("com.example.foo/" + s); err != nil || c != "com.example.foo" || r != s {
			t.Errorf("%q: %q, %q, %v", s, c, r, err)
		}
	}
	own := []string{"", ".", "..", "a b", "a/b", "a%20b", "#x", "é", "a@b", strings.Repeat("o", 513)}
	for _, s := range syntaxLines(t, "recordkey_syntax_invalid.txt", own...) {
		if err := repo.CheckRecordKey(s); !errors.Is(err, repo.ErrPath) {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"", "/", "com.example.foo", "com.example.foo/", "/self", "com.example.foo/a/b", "com.example/self"} {
		if _, _, err := repo.ParsePath(s); !errors.Is(err, repo.ErrPath) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"app.bsky.feed.post/3jzfcijpj2z2a", "a.b.c/self", "a.b.c/..", "A.b.c/x", "a.b.c/a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, r, err := repo.ParsePath(s)
		if err == nil && c+"/"+r != s {
			t.Fatalf("%q is read as %q and %q", s, c, r)
		}
		parts := strings.Split(s, "/")
		theirs := len(parts) == 2
		if theirs {
			nsid, e1 := syntax.ParseNSID(parts[0])
			_, e2 := syntax.ParseRecordKey(parts[1])
			theirs = e1 == nil && e2 == nil && nsid.Normalize() == nsid
		}
		if theirs != (err == nil) {
			t.Fatalf("%q: %v, indigo: %t", s, err, theirs)
		}
	})
}

func TestActions(t *testing.T) {
	got := []string{repo.ActionCreate.String(), repo.ActionUpdate.String(), repo.ActionDelete.String(), repo.Action(9).String()}
	if !slices.Equal(got, []string{"create", "update", "delete", "action 9"}) {
		t.Error(got)
	}
}
