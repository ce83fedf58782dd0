package account

import (
	"errors"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/internal/act"
)

// identityPage is what the page of the identity shows.
type identityPage struct {
	Keys     act.Keys
	Away     bool   // the directory does not answer
	Document string // as JSON; "": it could not be had
	Key      string // that was entered
	Step     string // add or remove: a code is on its way for it
}

func identityData(l *look) (any, error) {
	d := &identityPage{Key: l.Typed("key")}
	if l.Wrong.Field == "code" {
		d.Step = l.Typed("do")
	}
	ctx := l.R.Context()
	var err error
	if d.Keys, err = l.pages.acts.OwnKeys(ctx, l.Tenant, l.owner); errors.Is(err, act.ErrGone) {
		return nil, err
	} else if err != nil {
		l.Caller.LogError(err)
		d.Away = true
	}
	if doc, err := l.pages.documents.Resolve(ctx, l.owner.Asks, l.owner.DID); err == nil {
		if text, err := json.Marshal(doc, jsontext.WithIndent("  ")); err == nil {
			d.Document = string(text)
		}
	}
	return d, nil
}

func addKey(l *look) error {
	if l.Form.Text("code") == "" {
		if err := act.CheckRotationKey(l.Form.Text("key")); err != nil {
			return err
		}
		return askKeyCode(l)
	}
	if err := l.pages.acts.AddRotationKey(l.R.Context(), l.Tenant, l.owner, l.Form.Text("code"), l.Form.Text("key")); err != nil {
		return err
	}
	return l.done("key")
}

func removeKey(l *look) error {
	if l.Form.Text("code") == "" {
		return askKeyCode(l)
	}
	if err := l.pages.acts.RemoveRotationKey(l.R.Context(), l.Tenant, l.owner, l.Form.Text("code"), l.Form.Text("key")); err != nil {
		return err
	}
	return l.done("nokey")
}

// askKeyCode mails the code that a change of keys takes, and asks for it.
func askKeyCode(l *look) error {
	if err := l.limit(codeBuckets); err != nil {
		return err
	}
	if err := l.pages.acts.RequestOperationSignature(l.R.Context(), l.Tenant, l.owner); err != nil {
		return err
	}
	return l.showWith(http.StatusOK, &identityPage{Key: l.Form.Text("key"), Step: l.Form.Get("do")})
}
