package web

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
)

// The cookies. With HTTPS their names begin with __Host-, so that no other host of the same domain can set them.
const (
	cookieDevice  = "device"
	cookieSession = "device-session"
	cookieForm    = "form"
	cookieNote    = "note"
	cookieLang    = "lang"
)

// Cookies are those of one visit.
type Cookies struct {
	W        http.ResponseWriter
	R        *http.Request
	Secure   bool // it is by https
	SameSite http.SameSite
}

func (c Cookies) name(name string) string {
	if c.Secure {
		return "__Host-" + name
	}
	return name
}

// Get gives what a cookie holds; "": there is none.
func (c Cookies) Get(name string) string {
	have, err := c.R.Cookie(c.name(name))
	if err != nil || len(have.Value) > 2048 {
		return ""
	}
	return have.Value
}

// Set sets one for life; 0: until the browser ends.
func (c Cookies) Set(name, value string, life time.Duration) {
	c.drop(name)
	http.SetCookie(c.W, &http.Cookie{
		Name: c.name(name), Value: value, Path: "/", MaxAge: int(life.Seconds()),
		HttpOnly: true, Secure: c.Secure, SameSite: c.SameSite,
	})
}

// Clear has the browser forget one that it has.
func (c Cookies) Clear(name string) {
	c.drop(name)
	if c.Get(name) == "" {
		return
	}
	http.SetCookie(c.W, &http.Cookie{
		Name: c.name(name), Path: "/", MaxAge: -1, HttpOnly: true, Secure: c.Secure, SameSite: c.SameSite,
	})
}

// drop takes back what this answer said of a cookie before.
func (c Cookies) drop(name string) {
	h := c.W.Header()
	before := h.Values("Set-Cookie")
	h.Del("Set-Cookie")
	for _, line := range before {
		if set, err := http.ParseSetCookie(line); err == nil && set.Name != c.name(name) {
			h.Add("Set-Cookie", line)
		}
	}
}

func (v *Visit) cookies() Cookies { return Cookies{v.W, v.R, v.secure(), http.SameSiteLaxMode} }

func (v *Visit) cookie(name string) string { return v.cookies().Get(name) }

func (v *Visit) setCookie(name, value string, life time.Duration) { v.cookies().Set(name, value, life) }

func (v *Visit) clearCookie(name string) { v.cookies().Clear(name) }

// SetCookie keeps a value in the browser that no script reads, for a room's own ends. The name must not be one of the
// frame's.
func (v *Visit) SetCookie(name, value string, life time.Duration) { v.setCookie(name, value, life) }

// Cookie is what [Visit.SetCookie] kept.
func (v *Visit) Cookie(name string) string { return v.cookie(name) }

// ClearCookie forgets it.
func (v *Visit) ClearCookie(name string) { v.clearCookie(name) }

// Kind is a kind of notice.
type Kind string

// The kinds of notice.
const (
	Info    Kind = "info"
	Success Kind = "success"
	Warning Kind = "warning"
	Failure Kind = "error"
)

// Note is a notice at the top of a page.
type Note struct {
	Kind Kind
	Key  string   // of the text
	Args []string // names and values of what stands in it
}

// Note puts a notice on the page that is shown next: this one, or the one that the browser is redirected to.
func (v *Visit) Note(kind Kind, key string, args ...string) {
	if len(v.notes) < 4 {
		v.notes = append(v.notes, Note{kind, key, args})
	}
}

// keepNotes takes the notices along to the next page.
func (v *Visit) keepNotes() {
	if len(v.notes) == 0 {
		return
	}
	b, err := json.Marshal(v.notes)
	if err != nil || len(b) > 1400 {
		return
	}
	v.setCookie(cookieNote, base64.RawURLEncoding.EncodeToString(b), time.Minute)
}

// takeNotes are the notices for this page.
func (v *Visit) takeNotes() []Note {
	var out []Note
	if text := v.cookie(cookieNote); text != "" {
		if b, err := base64.RawURLEncoding.DecodeString(text); err == nil {
			_ = json.Unmarshal(b, &out) // what is no note is none
		}
		v.clearCookie(cookieNote)
	}
	kept := out[:0]
	for _, n := range out {
		if known(n.Key) && (n.Kind == Info || n.Kind == Success || n.Kind == Warning || n.Kind == Failure) {
			kept = append(kept, n)
		}
	}
	return append(kept, v.notes...)
}
