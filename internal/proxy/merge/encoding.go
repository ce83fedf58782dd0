package merge

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// An answer that may be merged has to be read, so the service is asked for an encoding that can be undone, best for none
// at all; and the client may refuse what it would then get.

// ErrNotAcceptable: the client takes no encoding that we know.
var ErrNotAcceptable = errors.New("no acceptable encoding")

// ErrEncodings: an Accept-Encoding that cannot be read. Always an [EncodingError].
var ErrEncodings = errors.New("invalid accept-encoding")

// EncodingError says what is wrong with an Accept-Encoding.
type EncodingError struct{ part string }

// Is makes every one of them [ErrEncodings].
func (e *EncodingError) Is(target error) bool { return target == ErrEncodings }

func (e *EncodingError) Error() string { return fmt.Sprintf("invalid accept-encoding: %q", e.part) }

// Said is what the client is told.
func (e *EncodingError) Said() string { return `Invalid accept-encoding: "` + e.part + `"` }

// encodings are those that can be undone, with what we think of them.
var encodings = []struct{ name, weighed string }{
	{"identity", "identity"}, {"gzip", "gzip;q=0.3"}, {"deflate", "deflate;q=0.2"}, {"br", "br;q=0.1"},
}

// Encodings is what a client may be sent.
type Encodings struct {
	// Ask is the Accept-Encoding for the service.
	Ask string
	// Plain says whether the client takes an answer that is not encoded; else it takes gzip, or it gets what the service
	// sent.
	Plain, Gzip bool
}

// Negotiate reads a client's Accept-Encoding, "" if it sent none. Errors: [ErrNotAcceptable], [*EncodingError].
// spec: RFC 9110 section 12.5.3
func Negotiate(header string) (Encodings, error) {
	takes := map[string]bool{}
	any, named := false, false
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, q, ok := quality(part)
		if !ok {
			return Encodings{}, &EncodingError{clip(part)}
		}
		if name == "*" {
			any, named = q, true
		} else {
			takes[name] = q
		}
	}
	var ask []string
	var out Encodings
	for _, e := range encodings {
		q, said := takes[e.name]
		switch {
		case said && !q, !said && named && !any, !said && !named && e.name != "identity":
			continue
		}
		ask = append(ask, e.weighed)
		out.Plain, out.Gzip = out.Plain || e.name == "identity", out.Gzip || e.name == "gzip"
	}
	if len(ask) == 0 {
		return Encodings{}, ErrNotAcceptable
	}
	out.Ask = strings.Join(ask, ", ")
	return out, nil
}

// quality reads one encoding, and whether it is taken.
func quality(part string) (name string, q, ok bool) {
	name, parameter, weighed := strings.Cut(part, ";")
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "" || strings.ContainsAny(name, " \t\"=") {
		return "", false, false
	}
	if !weighed {
		return name, true, true
	}
	key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
	w, err := strconv.ParseFloat(value, 64)
	if err != nil || !strings.EqualFold(key, "q") || w != 0 && (w < 0.001 || w > 1) || strings.Trim(value, "0123456789.") != "" {
		return "", false, false
	}
	return name, w > 0, true
}

// clip bounds what an error repeats of a header.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strings.ToValidUTF8(s, "")
}
