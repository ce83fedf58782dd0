package endpoint

import (
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/internal/contentcoding"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/xrpc"
)

// Bounds of a body.
const (
	maxBody   = 100 << 10 // decoded
	maxParams = 100
	bodyTime  = 15 * time.Second
)

// read gives the parameters of a request: a form or a JSON object. An empty one counts as absent.
// spec: RFC 6749 section 3.2
func read(v xrpc.Visitor, r *http.Request) (map[string]string, error) {
	kind, attributes, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" && kind != "application/json" {
		return nil, problem(http.StatusUnsupportedMediaType, "the body has to be a form (application/x-www-form-urlencoded) or JSON (application/json)")
	}
	if set := attributes["charset"]; set != "" && !strings.EqualFold(set, "utf-8") {
		return nil, problem(http.StatusUnsupportedMediaType, "the body has to be UTF-8")
	}
	v.BodyWithin(bodyTime)
	raw, err := whole(r)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(raw) {
		return nil, oauth.Refuse(oauth.InvalidRequest, "the body is not UTF-8")
	}
	if kind == "application/json" {
		return object(raw)
	}
	return form(raw)
}

// whole reads a body with its codings undone.
func whole(r *http.Request) ([]byte, error) {
	codings, err := contentcoding.Parse(strings.Join(r.Header.Values("Content-Encoding"), ","))
	if err != nil {
		return nil, problem(http.StatusUnsupportedMediaType, err.Error())
	}
	if len(codings) == 0 && r.ContentLength > maxBody {
		return nil, errLarge
	}
	var src io.Reader = r.Body
	for _, coding := range codings {
		if !contentcoding.Known(coding) {
			return nil, problem(http.StatusUnsupportedMediaType, contentcoding.ErrUnknown.Error())
		}
		if src, err = contentcoding.Open(coding, src); err != nil {
			return nil, broken(r, err)
		}
	}
	raw, err := io.ReadAll(io.LimitReader(src, maxBody+1))
	switch {
	case err != nil:
		return nil, broken(r, err)
	case len(raw) > maxBody:
		return nil, errLarge
	}
	return raw, nil
}

// broken is what became of a body that could not be read.
func broken(r *http.Request, err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return problem(http.StatusRequestTimeout, "the body did not arrive in time")
	case r.Context().Err() != nil:
		return xrpc.ErrClientGone
	}
	return oauth.Refuse(oauth.InvalidRequest, "the body cannot be decoded")
}

func form(raw []byte) (map[string]string, error) {
	if strings.Count(string(raw), "&") >= maxParams {
		return nil, oauth.Refuse(oauth.InvalidRequest, "more than %d parameters", maxParams)
	}
	values, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, oauth.Refuse(oauth.InvalidRequest, "the form is malformed")
	}
	out := make(map[string]string, len(values))
	for name, list := range values {
		if len(list) > 1 {
			return nil, oauth.Refuse(oauth.InvalidRequest, "%.100s is there twice", name)
		}
		if !utf8.ValidString(list[0]) || strings.ContainsRune(list[0], 0) {
			return nil, oauth.Refuse(oauth.InvalidRequest, "%.100s is not text", name)
		}
		out[name] = list[0]
	}
	return out, nil
}

// object reads JSON. What is not text is only kept to be refused by its name.
func object(raw []byte) (map[string]string, error) {
	var values map[string]jsontext.Value
	if err := json.Unmarshal(raw, &values); err != nil {
		return nil, oauth.Refuse(oauth.InvalidRequest, "the body is not one JSON object without names that are there twice")
	}
	if len(values) > maxParams {
		return nil, oauth.Refuse(oauth.InvalidRequest, "more than %d parameters", maxParams)
	}
	out := make(map[string]string, len(values))
	for name, value := range values {
		var text string
		switch {
		case value.Kind() == 'n':
			continue
		case name == "claims" || name == "authorization_details":
			text = string(value)
		case value.Kind() != '"' || json.Unmarshal(value, &text) != nil || strings.ContainsRune(text, 0):
			return nil, oauth.Refuse(oauth.InvalidRequest, "%.100s is not text", name)
		}
		out[name] = text
	}
	return out, nil
}
