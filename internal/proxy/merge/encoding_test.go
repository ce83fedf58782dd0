package merge

import (
	"errors"
	"testing"
)

func TestNegotiate(t *testing.T) {
	for header, want := range map[string]Encodings{
		"":                        {"identity", true, false},
		"identity":                {"identity", true, false},
		"gzip, *;q=0":             {"gzip;q=0.3", false, true},
		"invalid":                 {"identity", true, false},
		"gzip, deflate, br, zstd": {"identity, gzip;q=0.3, deflate;q=0.2, br;q=0.1", true, true},
		"*":                       {"identity, gzip;q=0.3, deflate;q=0.2, br;q=0.1", true, true},
		"BR ; q=0.001":            {"identity, br;q=0.1", true, false},
		"identity;q=0, br":        {"br;q=0.1", false, false},
		"gzip;q=0, *;q=0.5":       {"identity, deflate;q=0.2, br;q=0.1", true, false},
		"gzip,,":                  {"identity, gzip;q=0.3", true, true},
	} {
		if got, err := Negotiate(header); err != nil || got != want {
			t.Errorf("%q: %+v, %v", header, got, err)
		}
	}
	for _, header := range []string{"invalid, *;q=0", "identity;q=0", "*;q=0.000"} {
		if _, err := Negotiate(header); !errors.Is(err, ErrNotAcceptable) {
			t.Errorf("%q: %v", header, err)
		}
	}
	for header, part := range map[string]string{
		";q=1": ";q=1", "gzip;q=2": "gzip;q=2", "gzip;q=0.0001": "gzip;q=0.0001", "br, gzip;q=": "gzip;q=", "gzip;q=1;x=2": "gzip;q=1;x=2",
		"gzip;level=1": "gzip;level=1", "gzip;q=-1": "gzip;q=-1", "gzip;q=nan": "gzip;q=nan", "gzip;q=1e-1": "gzip;q=1e-1",
	} {
		var bad *EncodingError
		if _, err := Negotiate(header); !errors.As(err, &bad) || bad.Said() != `Invalid accept-encoding: "`+part+`"` {
			t.Errorf("%q: %v", header, err)
		}
	}
}
