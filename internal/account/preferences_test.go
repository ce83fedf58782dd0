package account

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Somebody is of age from the first moment of the birthday on, UTC; who was born on a 29th of February is on the 1st of
// March in years that have none.
func TestOverAge(t *testing.T) {
	for _, c := range []struct {
		birth, now string
		years      int
		want       bool
	}{
		{"2008-09-15T00:00:00Z", "2026-09-14T23:59:59Z", 18, false},
		{"2008-09-15T00:00:00Z", "2026-09-15T00:00:00Z", 18, true},
		{"2008-09-15T23:59:59.999Z", "2026-09-15T00:00:00Z", 18, true},
		{"2008-09-15T00:00:00-11:00", "2026-09-15T00:00:00Z", 18, true},
		{"2008-09-15T00:00:00Z", "2026-09-15T01:00:00+02:00", 18, false},
		{"2012-02-29T00:00:00Z", "2025-02-28T23:59:59Z", 13, false},
		{"2012-02-29T00:00:00Z", "2025-03-01T00:00:00Z", 13, true},
		{"2012-02-29T00:00:00Z", "2028-02-28T12:00:00Z", 16, false},
		{"2012-02-29T00:00:00Z", "2028-02-29T00:00:00Z", 16, true},
		{"1900-01-01T00:00:00Z", "2026-09-15T00:00:00Z", 18, true},
		{"2026-09-16T00:00:00Z", "2026-09-15T00:00:00Z", 13, false},
		{"9999-12-31T00:00:00Z", "2026-09-15T00:00:00Z", 13, false},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		born, ok := birthday(jsontext.Value(`"` + c.birth + `"`))
		if !ok || overAge(born, now, c.years) != c.want {
			t.Errorf("born %s, %d at %s: %v, read %v", c.birth, c.years, c.now, !c.want, ok)
		}
	}
	for _, none := range []string{`"2009-02-29T00:00:00Z"`, `"2009-06-01"`, `""`, `7`, `null`, `{}`} {
		if born, ok := birthday(jsontext.Value(none)); ok {
			t.Errorf("%s is the %s", none, born)
		}
	}
}
