package signin

import (
	"net/http"
	"strings"

	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/web"
)

// consentForm is what an account's owner says yes or no to.
type consentForm struct {
	Account                       *Known
	ClientID, Logo, Terms, Policy string
	Trusted, KnownApp             bool
	Groups                        []group
	Choice                        bool // there is something to untick
	Other                         Step // where another account is chosen
}

// group is one thing to say yes or no to, in the reader's language.
type group struct {
	scope.Group
	Title, Text string
	Details     []string
}

func (v *visit) showConsent(k *Known) error {
	a := v.app
	f := &consentForm{Account: k, ClientID: a.client.ID, Trusted: a.trusted, KnownApp: k.Granted && !a.client.Development, Other: StepSignIn}
	if a.trusted {
		f.Logo, f.Terms, f.Policy = a.client.Logo, a.client.TOS, a.client.Policy
		if origin := originOf(f.Logo); origin != "" {
			v.Allow("img-src", origin)
		}
	}
	if len(v.Fitting()) > 1 {
		f.Other = StepChoose
	}
	a.sets = v.pages.Acts.SetsOf(v.R.Context(), v.Tenant, a.asked)
	for _, g := range a.asked.Groups(a.entries) {
		f.Groups = append(f.Groups, v.describe(g))
		f.Choice = f.Choice || !g.Fixed
	}
	return v.page(http.StatusOK, "consent", f)
}

// entries are what a permission set lists.
func (a *app) entries(i scope.Include) []scope.Entry {
	if set := a.sets[i]; set != nil {
		return set.Entries
	}
	return nil
}

// describe says in words what a group opens.
func (v *visit) describe(g scope.Group) group {
	out := group{Group: g, Title: v.Say("signin.group." + string(g.Kind))}
	switch g.Kind {
	case scope.KindBasic, scope.KindGeneric, scope.KindChat:
		out.Text = v.Say("signin.group." + string(g.Kind) + ".text")
	case scope.KindRecords:
		if g.Strong {
			out.Title = v.Say("signin.group.records_all")
		}
	case scope.KindMail:
		if g.Manage {
			out.Title = v.Say("signin.group.mail_manage")
		}
	case scope.KindAccount:
		if g.Manage {
			out.Title = v.Say("signin.group.account_manage")
		}
	case scope.KindSet:
		out.Title = v.Say("signin.group.set", "nsid", g.Set.NSID)
		if set := v.app.sets[*g.Set]; set != nil {
			out.Title, out.Text = inLanguage(set.Title, v.Lang, out.Title), inLanguage(set.Detail, v.Lang, "")
		}
		out.Details = append(out.Details, g.Set.NSID)
	}
	out.Details = append(out.Details, v.details(g)...)
	for _, part := range g.Parts {
		if g.Kind == scope.KindIdentity && part == "*" {
			out.Title, part = v.Say("signin.group.identity_all"), "identity"
		}
		out.Details = append(out.Details, v.Say("signin.detail."+part))
	}
	return out
}

// details are the single things that a group opens.
func (v *visit) details(g scope.Group) (out []string) {
	for _, r := range g.Records {
		name := r.Collection
		if name == "*" {
			name = v.Say("signin.detail.all_records")
		}
		var actions []string
		for _, a := range []struct {
			one scope.Actions
			key string
		}{{scope.Create, "create"}, {scope.Update, "update"}, {scope.Delete, "delete"}} {
			if r.Actions&a.one != 0 {
				actions = append(actions, v.Say("signin.detail."+a.key))
			}
		}
		out = append(out, name+": "+strings.Join(actions, ", "))
	}
	for _, c := range g.Calls {
		method, service := c.Method, c.Aud
		if method == "*" {
			method = v.Say("signin.detail.any_method")
		}
		if service == "*" {
			service = v.Say("signin.detail.any_service")
		}
		out = append(out, v.Say("signin.detail.call", "method", method, "service", service))
	}
	for _, f := range g.Files {
		if f == "*/*" {
			f = v.Say("signin.detail.any_file")
		}
		out = append(out, f)
	}
	return out
}

// inLanguage picks the text of a permission set that the reader understands.
func inLanguage(texts map[string]string, lang, otherwise string) string {
	for tag, text := range texts {
		if tag != "" && text != "" && web.Match(tag) == lang {
			return text
		}
	}
	if text := texts[""]; text != "" {
		return text
	}
	return otherwise
}

// consent does what the account's owner said.
func (v *visit) consent() error {
	k := named(v.Fitting(), v.wish.Account)
	if k == nil && v.wish.Account == "" && len(v.Fitting()) == 1 {
		k = &v.Fitting()[0] // the page was shown for the only account
	}
	if v.form.Get("do") == "deny" {
		return v.refuse("access_denied", "The user rejected the request")
	}
	if k == nil {
		return v.Redirect(v.url("", ""))
	}
	t := v.of(k, true)
	if v.form.Get("do") != "accept" || t.Step != StepConsent && !t.Grant {
		return v.Redirect(v.url("", k.DID))
	}
	return v.grant(k, v.app.asked.Keep(v.form.Values["allow"]))
}
