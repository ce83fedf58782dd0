package account

import (
	"encoding/base64"
	"errors"

	"github.com/auroralocus/locus/internal/agent"
	"github.com/auroralocus/locus/internal/passkey"
)

// passkeysPage is what the page of passkeys shows.
type passkeysPage struct {
	All     []shownKey
	Options string // for a new one, to the script; "": none can be made here
	Name    string // that is proposed for it
	Full    bool   // the account has as many as it may
}

// shownKey is a passkey with its name in forms.
type shownKey struct {
	passkey.Key
	ID string
}

func passkeysData(l *look) (any, error) {
	ctx := l.R.Context()
	keys, err := l.pages.acts.Passkeys(ctx, l.Tenant, l.owner)
	if err != nil {
		return nil, err
	}
	p := &passkeysPage{Full: len(keys) >= passkey.Max, Name: agent.Words(l.R.UserAgent())}
	for _, k := range keys {
		p.All = append(p.All, shownKey{k, base64.RawURLEncoding.EncodeToString(k.ID)})
	}
	options, err := l.pages.acts.AskNewPasskey(ctx, l.Tenant, l.owner)
	if err != nil && !errors.Is(err, passkey.ErrHost) {
		return nil, err
	}
	p.Options = string(options)
	return p, nil
}

func addPasskey(l *look) error {
	if err := l.pages.acts.AddPasskey(l.R.Context(), l.Tenant, l.owner, l.proof(), l.Form.Text("name"), []byte(l.Form.Get("answer"))); err != nil {
		return err
	}
	return l.done("passkey.added")
}

func renamePasskey(l *look) error {
	id, err := base64.RawURLEncoding.DecodeString(l.Form.Get("id"))
	if err != nil {
		return passkey.ErrUnknown
	}
	if err := l.pages.acts.RenamePasskey(l.R.Context(), l.Tenant, l.owner, id, l.Form.Text("name")); err != nil {
		return err
	}
	return l.done("passkey.renamed")
}

func removePasskey(l *look) error {
	id, err := base64.RawURLEncoding.DecodeString(l.Form.Get("id"))
	if err != nil {
		return passkey.ErrUnknown
	}
	if err := l.pages.acts.RemovePasskey(l.R.Context(), l.Tenant, l.owner, l.proof(), id); err != nil {
		return err
	}
	return l.done("passkey.removed")
}

// removePassword has the account live by its passkeys alone.
func removePassword(l *look) error {
	if err := l.pages.acts.RemovePassword(l.R.Context(), l.Tenant, l.owner, l.proof()); err != nil {
		return err
	}
	return l.done("password.removed")
}
