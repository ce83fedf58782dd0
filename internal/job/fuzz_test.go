package job

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// FuzzStored: what is stored of a job, by whatever program, is read whole or refused by an error that names the job.
func FuzzStored(f *testing.F) {
	for _, text := range []string{"", "null", "{}", "[]", `{"By":"x","Role":3,"PurgeAt":"2026-01-01T00:00:00Z","Left":[{"did":"d"}]}`, `{"Rate":1e400}`, `{"Rate":-1}`, `{"by":1}`} {
		f.Add([]byte(text))
	}
	type content struct {
		By      string
		Role    int
		PurgeAt time.Time `json:",omitzero"`
		Rate    int
		Bytes   []byte                 `json:",omitempty"`
		Set     map[string]string      `json:",omitempty"`
		Left    []struct{ DID string } `json:",omitempty"`
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := &Run{Job: Job{ID: "j-1", Args: text, Result: text}, saved: text}
		for what, read := range map[string]func(any) error{"arguments": r.Args, "state": r.State, "result": r.Job.Into} {
			var got content
			err := read(&got)
			if err != nil {
				if !strings.Contains(err.Error(), "j-1") {
					t.Errorf("%s: %v", what, err)
				}
				continue
			}
			if len(text) == 0 {
				if what == "arguments" || !reflect.DeepEqual(got, content{}) {
					t.Errorf("%s out of nothing: %+v", what, got)
				}
				continue
			}
			raw, err := json.Marshal(got)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			var again content
			if err := json.Unmarshal(raw, &again); err != nil || !reflect.DeepEqual(again.PurgeAt.UTC(), got.PurgeAt.UTC()) || again.Rate != got.Rate || again.By != got.By && !strings.Contains(string(raw), `\ufffd`) {
				t.Errorf("%s: %+v becomes %+v: %v", what, got, again, err)
			}
		}
	})
}
