package web

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"
)

// Answer is sent to a script of a page: a status and what is to be JSON.
type Answer struct {
	Status int
	Body   any
}

// PostScript registers what a script of a page calls, with JSON and the page's token in the header X-Form-Token. An error
// becomes {"error": text for people}.
func PostScript[In any](f *Frame, g *xrpc.Group, path string, h func(*Visit, In) (Answer, error)) {
	f.page(g, "POST "+path, func(v *Visit) error {
		var in In
		err := v.script(&in)
		var a Answer
		if err == nil {
			a, err = h(v, in)
		}
		if err != nil {
			p := v.problemOf(err)
			p.head(v.W.Header())
			return v.send(Answer{p.Status, map[string]string{"error": v.Say(p.Key, p.args()...)}})
		}
		return v.send(a)
	})
}

// GetScript registers what a script of a page reads, as JSON.
func (f *Frame) GetScript(g *xrpc.Group, path string, h func(*Visit) (Answer, error)) {
	f.page(g, "GET "+path, func(v *Visit) error {
		a, err := Answer{}, error(nil)
		if site := v.R.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
			err = errForeign
		} else {
			a, err = h(v)
		}
		if err != nil {
			p := v.problemOf(err)
			p.head(v.W.Header())
			a = Answer{p.Status, map[string]string{"error": v.Say(p.Key, p.args()...)}}
		}
		return v.send(a)
	})
}

func (v *Visit) send(a Answer) error {
	b, err := json.Marshal(a.Body)
	if err != nil {
		return errors.New("answer to a script: " + err.Error())
	}
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	v.W.Header().Set("Content-Type", "application/json")
	v.W.WriteHeader(a.Status)
	_, _ = v.W.Write(b)
	return nil
}
