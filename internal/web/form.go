package web

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxForm    = 64 << 10
	formTime   = 20 * time.Second
	headerForm = "X-Form-Token"
	tokenBytes = 24
)

// FieldForm is the field of forms that holds their token.
const FieldForm = "form-token"

// Form is what was entered.
type Form struct{ url.Values }

// On says whether a box is ticked.
func (f Form) On(name string) bool { return f.Get(name) != "" }

// Text is what was entered in a field, without the spaces around it.
func (f Form) Text(name string) string { return strings.TrimSpace(f.Get(name)) }

// form takes a form, if it was sent from a page of ours.
func (v *Visit) form() (Form, error) {
	if !v.sameOrigin() {
		return Form{}, errForeign
	}
	kind, _, err := mime.ParseMediaType(v.R.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return Form{}, errNoForm
	}
	body, err := v.body()
	if err != nil {
		return Form{}, err
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return Form{}, errNoForm
	}
	if !v.tokenFits(values.Get(FieldForm)) {
		return Form{}, errStale
	}
	return Form{values}, nil
}

// script takes what a script of a page sent: see [PostScript].
func (v *Visit) script(into any) error {
	if !v.sameOrigin() || !v.tokenFits(v.R.Header.Get(headerForm)) {
		return errForeign
	}
	kind, _, err := mime.ParseMediaType(v.R.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return errNoForm
	}
	body, err := v.body()
	if err != nil {
		return err
	}
	if json.Unmarshal(body, into) != nil {
		return errNoForm
	}
	return nil
}

func (v *Visit) body() ([]byte, error) {
	v.Caller.BodyWithin(formTime)
	b, err := io.ReadAll(http.MaxBytesReader(v.W, v.R.Body, maxForm))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, errLarge
	case err != nil:
		return nil, errNoForm
	}
	return b, nil
}

// sameOrigin says whether a browser could only have sent this from a page of the tenant. Browsers that say nothing of it
// are left to the token.
func (v *Visit) sameOrigin() bool { return SameOrigin(v.R, v.Tenant.PublicURL) }

// SameOrigin says the same of a page of an origin.
func SameOrigin(r *http.Request, ours string) bool {
	h := r.Header
	site := h.Get("Sec-Fetch-Site")
	if site != "" && site != "same-origin" && site != "none" { // none: the person sent it again, by reloading
		return false
	}
	switch origin := h.Get("Origin"); origin {
	case ours:
		return true
	case "":
	case "null":
		return site == "same-origin"
	default:
		return false
	}
	referer := h.Get("Referer")
	return referer == "" || referer == ours || strings.HasPrefix(referer, ours+"/")
}

// navigated says whether a page was asked for by somebody who goes there, or by our own scripts. Frames and programs of
// other pages are refused.
func (v *Visit) navigated() bool { return Navigated(v.R) }

// Navigated says the same of any request.
func Navigated(r *http.Request) bool {
	h := r.Header
	switch h.Get("Sec-Fetch-Dest") {
	case "iframe", "frame", "embed", "object", "fencedframe":
		return false
	}
	site, mode := h.Get("Sec-Fetch-Site"), h.Get("Sec-Fetch-Mode")
	return site == "" || site == "same-origin" || site == "none" || mode == "" || mode == "navigate"
}

// token is what forms of this browser carry: what its cookie holds, masked anew each time, so that it cannot be guessed
// from how well answers compress.
func (v *Visit) token() string {
	if v.csrf == "" {
		if have := v.cookie(cookieForm); IsToken(have) {
			v.csrf = have
		} else {
			v.csrf = NewToken()
			v.setCookie(cookieForm, v.csrf, 0)
		}
	}
	return MaskToken(v.csrf)
}

// MaskToken is what forms carry of a browser's token: it looks different each time.
func MaskToken(token string) string {
	raw := decodeToken(token)
	out := make([]byte, 2*tokenBytes)
	_, _ = rand.Read(out[:tokenBytes]) // never fails
	subtle.XORBytes(out[tokenBytes:], out[:tokenBytes], raw)
	return base64.RawURLEncoding.EncodeToString(out)
}

func (v *Visit) tokenFits(sent string) bool { return TokenFits(v.cookie(cookieForm), sent) }

// TokenFits says whether what a form carries was made from a browser's token.
func TokenFits(token, sent string) bool {
	have, got := decodeToken(token), decodeToken(sent)
	if len(have) != tokenBytes || len(got) != 2*tokenBytes {
		return false
	}
	subtle.XORBytes(got[tokenBytes:], got[tokenBytes:], got[:tokenBytes])
	return subtle.ConstantTimeCompare(have, got[tokenBytes:]) == 1
}

// IsToken says whether a text is a token of [NewToken].
func IsToken(text string) bool { return len(decodeToken(text)) == tokenBytes }

// NewToken draws what a browser's cookie holds, so that its forms can be told from those of other pages.
func NewToken() string {
	var b [tokenBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func decodeToken(text string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return b
}

// FormToken is the hidden field that every form has.
func (v *Visit) FormToken() template.HTML {
	return template.HTML(`<input type="hidden" name="` + FieldForm + `" value="` + v.token() + `">`) // base64url
}

// ScriptToken is what a script of a page sends in the header X-Form-Token.
func (v *Visit) ScriptToken() string { return v.token() }
