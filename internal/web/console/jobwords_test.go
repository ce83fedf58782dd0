package console

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive/vault"
)

// TestResultsHaveWords: whatever a job answers has a name that somebody thought of.
func TestResultsHaveWords(t *testing.T) {
	for kind, v := range map[string]any{
		act.JobSuspend: act.LifeResult{}, act.JobPurge: act.PurgeResult{}, act.JobRename: act.RenameResult{}, act.JobMove: act.Moved{}, act.JobDrain: act.Drained{},
		act.JobKeyRotate: act.KeyRotated{}, act.JobBackup: vault.Entry{}, act.JobRestore: act.RestoreResult{}, act.JobClone: act.CloneResult{}, act.JobBackupDrill: act.DrillResult{},
	} {
		for f := range reflect.TypeOf(v).Fields() {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if _, at := wordOf(kind, key); at == len(jobWords) {
				t.Errorf("%s: %q has no words", kind, key)
			}
		}
	}
}

// TestPlainly: the details of a log are told by their keys.
func TestPlainly(t *testing.T) {
	got := plainly(json.RawMessage(`{"adminPassword":true,"smtpSecret":"x","settings":{"signup":"open","crawlers":""},"codes":40,"reason":""}`))
	want := []said{
		{Name: "Admin password", Lines: []string{"yes"}}, {Name: "Codes", Lines: []string{"40"}}, {Name: "Settings", Lines: []string{"crawlers: –", "signup: open"}},
		{Name: "Smtp secret", Lines: []string{"given; it is kept sealed, and not shown"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestInWords: values are told by what they are, empty ones and secrets not at all.
func TestInWords(t *testing.T) {
	nodes := map[int64]string{2: "second"}
	for _, c := range []struct {
		kind, object string
		want         []said
	}{
		{act.JobRename, `{"To":"new.test","Handles":true,"Rate":5,"by":"cli:root","role":4}`, []said{
			{Name: "New hostname", Lines: []string{"new.test"}}, {Name: "Handles move to the new name", Lines: []string{"yes"}}, {Name: "Operations a second", Lines: []string{"5"}},
		}},
		{act.JobMove, `{"to":2,"keepSeconds":86400}`, []said{{Name: "To the database", Lines: []string{"second"}}, {Name: "The old copy is kept for", Lines: []string{"24 hours"}}}},
		{act.JobMove, `{"from":7,"pauseMillis":63,"elapsedMillis":2700,"leftSchema":"","leftUntil":"0001-01-01T00:00:00Z"}`, []said{
			{Name: "From the database", Lines: []string{"number 7"}}, {Name: "Writers waited for", Lines: []string{"63 ms"}}, {Name: "It took", Lines: []string{"2.7 seconds"}},
		}},
		{act.JobRestore, `{"sealedIdentity":"c2VjcmV0","replace":false,"settings":{"signup":"closed","display_name":"X"}}`, []said{
			{Name: "In the place of the tenant that is there", Lines: []string{"no"}},
			{Name: "Secret key of age", Lines: []string{"given; it is kept sealed, and not shown"}}, {Name: "Settings", Lines: []string{"display_name: X", "signup: closed"}},
		}},
		{act.JobBackup, `{"bytes":14200,"recipients":["age1a","age1b"],"keepUntil":"2026-12-01T00:00:00Z"}`, []said{
			{Name: "Recipients", Code: true, Lines: []string{"age1a", "age1b"}}, {Name: "Kept until", At: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}, {Name: "Size", Lines: []string{"14.2\u00a0kB"}},
		}},
		{act.JobRename, `{"left":[{"did":"did:plc:x","handle":"a.test","why":"no key"}]}`, []said{{Name: "These stay as they were", Lines: []string{"@a.test (did:plc:x): no key"}}}},
		{"of a newer version", `{"newThing":12345,"anyToken":"x"}`, []said{{Name: "Any token", Lines: []string{"given; it is kept sealed, and not shown"}}, {Name: "New thing", Lines: []string{"12,345"}}}},
		{"", ``, []said{}},
		{"", `null`, []said{}},
	} {
		if d := cmp.Diff(c.want, inWords(c.kind, json.RawMessage(c.object), nodes)); d != "" {
			t.Errorf("%s: %s\n%s", c.kind, c.object, d)
		}
	}
}
