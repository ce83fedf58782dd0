package account

import (
	"errors"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/passkey"
	"github.com/auroralocus/locus/internal/web"
)

// look is one look at the pages of an account, by its owner.
type look struct {
	*web.Visit
	pages   *Pages
	section *section
	signed  *device.SignedIn
	owner   act.Owner

	Who     *accounts.Account
	Info    accounts.Info
	Factors accounts.Factors
	Form    web.Form // what was sent, if anything was
	Wrong   Wrong    // what was wrong with it
}

// signIn is where somebody goes who is not signed in; back is where they come back to.
func signIn(back string) string { return root + "/sign-in?" + url.Values{"return": {back}}.Encode() }

// look finds out whose pages are asked for: the account that the address names, or the one that signed in last. Who is not
// signed in is sent to do so, and there is no look.
func (p *Pages) look(v *web.Visit, s *section) (*look, error) {
	in := v.For("")
	var signed *device.SignedIn
	of := v.R.URL.Query().Get("account")
	for i := range in {
		if of == "" || in[i].DID == of {
			signed = &in[i]
			break
		}
	}
	if signed == nil {
		return nil, v.Redirect(signIn(s.path()))
	}
	ctx, q := v.R.Context(), p.db.Tenant(v.Tenant.Schema).Q()
	l := &look{Visit: v, pages: p, section: s, signed: signed, owner: v.Owner(signed)}
	var err error
	if l.Who, err = accounts.ByDID(ctx, q, signed.DID); err != nil {
		return nil, err
	}
	infos, err := accounts.Infos(ctx, q, []string{signed.DID})
	if err != nil {
		return nil, err
	}
	if len(infos) == 1 {
		l.Info = infos[0]
	}
	if l.Factors, err = accounts.SecondFactors(ctx, q, signed.AID); err != nil {
		return nil, err
	}
	if signed.ProvenLately(v.Now()) {
		l.proven(signed.Proven)
	}
	return l, nil
}

// proven notes when the owner showed last who it is.
func (l *look) proven(at time.Time) {
	l.owner.ProvenAt = at
	l.owner.Account = l.owner.Account.Proving(at)
}

// prove has the owner show who it is, unless that was done lately. Errors: those of [act.Acts.Prove].
func (l *look) prove() error {
	if !l.NeedsProof() {
		return nil
	}
	proof := act.Proof{Password: l.Form.Get("password"), Code: l.Form.Text("factor")}
	if answer := l.Form.Get("passkey"); answer != "" {
		proof.Passkey = []byte(answer)
	}
	d, err := l.pages.acts.Prove(l.R.Context(), l.Tenant, l.owner, l.Browser(), *l.signed, proof)
	if err != nil {
		return err
	}
	l.Keep(d)
	l.proven(l.Now())
	return nil
}

// asked says whether the form has been through the page that asks who it is.
func (l *look) asked() bool { return l.Form.Get("proof") != "" }

// confirm asks who it is, and carries the form along.
func (l *look) confirm(status int) error {
	return l.Show(status, templates()["confirm"], &view{look: l})
}

// PasskeyOptions are what a script asks a passkey with to show who it is; "": there is none.
func (l *look) PasskeyOptions() (string, error) {
	options, err := l.pages.acts.AskProof(l.R.Context(), l.Tenant, l.owner)
	if errors.Is(err, passkey.ErrHost) {
		return "", nil
	}
	return string(options), err
}

// Carried is what a form had in it, for the page between it and its deed.
func (l *look) Carried() []Field {
	var out []Field
	for _, name := range slices.Sorted(maps.Keys(l.Form.Values)) {
		if name == "proof" || name == "password" || name == "factor" || name == "passkey" || name == "form-token" {
			continue
		}
		out = append(out, Field{name, l.Form.Get(name)})
	}
	return out
}

// Field is a hidden field of a form.
type Field struct{ Name, Value string }

// limit counts what an account's owner asks for. Errors: [act.WaitError].
func (l *look) limit(buckets []limit.Bucket) error {
	if l.pages.limits == nil || !l.owner.Counted || len(buckets) == 0 {
		return nil
	}
	v := l.pages.limits.Take(l.Tenant.Schema, l.owner.DID, 1, l.Tenant.Settings.RateLimitPercent, buckets...)
	if v.Refused {
		return &act.WaitError{Wait: time.Duration(v.RetryAfter(l.Now())) * time.Second}
	}
	return nil
}

// view is what a template of these pages is filled with.
type view struct {
	*look
	Page any
}

// show sends the section's page as it is now.
func (l *look) show(status int) error {
	data, err := l.section.data(l)
	if err != nil {
		return err
	}
	return l.showWith(status, data)
}

func (l *look) showWith(status int, data any) error {
	return l.Show(status, templates()[l.section.name], &view{l, data})
}

// enterAnew begins this browser's sign-in again, after all of the account's were ended.
func (l *look) enterAnew() error {
	ctx := l.R.Context()
	who, err := accounts.ByDID(ctx, l.pages.db.Tenant(l.Tenant.Schema).Q(), l.owner.DID)
	if err != nil {
		return err
	}
	d, err := l.pages.acts.EnterDevice(ctx, l.Tenant, l.Browser(), who, device.Stay{Remember: l.signed.Remembered})
	if err != nil {
		return err
	}
	l.Keep(d)
	return nil
}

// done says what was done, on the page that the form was on.
func (l *look) done(key string, args ...string) error {
	l.Note(web.Success, "account.done."+key, args...)
	return l.Redirect(l.Path(l.section.name))
}

// Path is where a section is for this account.
func (l *look) Path(name string) string {
	s := section{name: name}
	if len(l.For("")) < 2 {
		return s.path()
	}
	return s.path() + "?" + url.Values{"account": {l.owner.DID}}.Encode()
}

// Query is the part of an address that says whose account it is, after a question mark or an ampersand; "" where there is
// only one.
func (l *look) Query() template.URL {
	if len(l.For("")) < 2 {
		return ""
	}
	return template.URL(url.Values{"account": {l.owner.DID}}.Encode()) // encoded
}

// Tab is an entry of the list of sections.
type Tab struct {
	Name, URL, Icon string
	Now             bool
}

// Tabs are the sections.
func (l *look) Tabs() []Tab {
	out := make([]Tab, len(sections))
	for i := range sections {
		s := &sections[i]
		out[i] = Tab{s.name, l.Path(s.name), s.icon, s.name == l.section.name}
	}
	return out
}

// Others are the accounts that are signed in on this browser, if there are several.
func (l *look) Others() []Other {
	in := l.For("")
	if len(in) < 2 {
		return nil
	}
	out := make([]Other, len(in))
	for i, a := range in {
		out[i] = Other{DID: a.DID, Name: nameOf(a.Handle, a.DID), Now: a.DID == l.owner.DID}
	}
	return out
}

// Other is an account of this browser.
type Other struct {
	DID, Name string
	Now       bool
}

// Name is what the account is called.
func (l *look) Name() string { return nameOf(l.Who.Handle, l.Who.DID) }

func nameOf(handle, did string) string {
	if handle == "" {
		return did
	}
	return handle
}

// State is active, deactivated or takendown.
func (l *look) State() string { return l.Info.Status() }

// NeedsProof says whether a form that matters has to ask who it is.
func (l *look) NeedsProof() bool { return l.Now().Sub(l.owner.ProvenAt) >= device.ProofLife }

// Typed is what was entered in a field of a form that was not taken.
func (l *look) Typed(name string) string {
	if l.Form.Values == nil {
		return ""
	}
	return l.Form.Get(name)
}

// TypedIn is what was entered in a field of the form of a deed, where several forms of a page have a field of this name.
func (l *look) TypedIn(name, do string) string {
	if l.Typed("do") != do {
		return ""
	}
	return l.Typed(name)
}

// Err is what is wrong with a field; "": nothing.
func (l *look) Err(field string) string {
	if l.Wrong.Field != field {
		return ""
	}
	return l.WrongText()
}

// ErrIn is Err where several forms of a page have such a field.
func (l *look) ErrIn(field string, dos ...string) string {
	if !slices.Contains(dos, l.Typed("do")) {
		return ""
	}
	return l.Err(field)
}

// WrongText is what is wrong with the form.
func (l *look) WrongText() string {
	if l.Wrong.Key == "" {
		return ""
	}
	return l.Say(l.Wrong.Key, l.Wrong.Args...)
}

// LooseWrong is what is wrong with the proof and belongs to none of its fields. Who was not asked yet did nothing wrong.
func (l *look) LooseWrong() string {
	if f := l.Wrong.Field; f == "password" && l.Who.HasPassword() || f == "factor" {
		return ""
	}
	return l.WrongText()
}

// FactorHint says how to get a code.
func (l *look) FactorHint() string {
	if l.Factors.Email && !l.Factors.App {
		return l.Say("account.proof.mailed")
	}
	return ""
}

// Section is the name of the section.
func (l *look) Section() string { return l.section.name }

// Rank counts from one.
func (l *look) Rank(i int) int { return i + 1 }

// IsWeb says whether the owner keeps the identity's document.
func (l *look) IsWeb() bool { return strings.HasPrefix(l.owner.DID, "did:web:") }

// Support is where people ask the operator: a link, "" if there is none.
func (l *look) Support() string {
	s := &l.Tenant.Settings
	if s.ContactEmail != "" {
		return "mailto:" + s.ContactEmail
	}
	return s.SupportURL
}

// SupportText is what the link says.
func (l *look) SupportText() string {
	if s := &l.Tenant.Settings; s.ContactEmail != "" {
		return s.ContactEmail
	}
	return l.Tenant.Settings.SupportURL
}
