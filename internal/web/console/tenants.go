package console

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
)

// registerTenants are the pages of all tenants.
func (s *Server) registerTenants() {
	s.get(Root+"/tenants", support, (*Visit).tenants)
	s.get(Root+"/tenants/new", owner, func(v *Visit) error { return v.Show(http.StatusOK, "tenant-new", nil) })
	s.post(Root+"/tenants/new", owner, (*Visit).createTenant)
	s.registerTenant()
}

// tenantsPerPage is how many are listed, and asked what they use.
const tenantsPerPage = 25

// tenantsPage is a page of the list.
type tenantsPage struct {
	Search, State string
	States        []string
	Tenants       []listedTenant
	Total         int
	Pages         pages
}

// listedTenant is one with what it uses, and what is wrong with it.
type listedTenant struct {
	*tenant.Tenant
	Usage   tenant.Usage
	Trouble string // why it could not be asked
	Reached []string
}

// Path is where its pages are.
func (l listedTenant) Path() string { return tenantPath(l.Hostname) }

// Tag is how its state is shown.
func (l listedTenant) Tag() string { return stateTag(l.State) }

func stateTag(s tenant.State) string {
	switch s {
	case tenant.Active:
		return "success"
	case tenant.Suspended, tenant.Moving, tenant.Provisioning, tenant.Behind:
		return "warning"
	}
	return "error"
}

// Storage is what records and files take.
func (l listedTenant) Storage() int64 { return l.Usage.RecordBytes + l.Usage.BlobBytes }

func (v *Visit) tenants() error {
	p := &tenantsPage{Search: strings.ToLower(strings.TrimSpace(v.Query("q"))), State: v.Query("state")}
	for s := tenant.Provisioning; s.String() != "unknown"; s++ {
		p.States = append(p.States, s.String())
	}
	all, err := v.s.Tenants.List(v.ctx())
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(t *tenant.Tenant) bool {
		return p.State != "" && t.State.String() != p.State || p.Search != "" && !found(t, p.Search)
	})
	slices.SortFunc(all, func(a, b *tenant.Tenant) int { return cmp.Compare(a.Hostname, b.Hostname) })
	p.Total = len(all)
	from, to := p.Pages.cut(v, len(all), v.s.perPage)
	p.Tenants, err = v.asked(all[from:to])
	if err != nil {
		return err
	}
	return v.Show(http.StatusOK, "tenants", p)
}

// found says whether a tenant has a text in one of its names.
func found(t *tenant.Tenant, text string) bool {
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
	return has(t.Hostname) || has(t.Settings.DisplayName) || slices.ContainsFunc(t.HandleDomains, has) || strconv.FormatInt(t.ID, 10) == text ||
		slices.ContainsFunc(t.Former, func(f tenant.Former) bool { return has(f.Hostname) })
}

// asked are tenants with what they use, in the same order.
func (v *Visit) asked(some []*tenant.Tenant) ([]listedTenant, error) {
	ids := make([]int64, len(some))
	out := make([]listedTenant, len(some))
	place := map[int64]int{}
	for i, t := range some {
		ids[i], out[i].Tenant, place[t.ID] = t.ID, t, i
	}
	reached, err := usage.Reached(v.ctx(), v.s.DB, ids, v.s.Now())
	if err != nil {
		return nil, err
	}
	err = v.s.Tenants.Usages(v.ctx(), some, func(t *tenant.Tenant, u tenant.Usage, err error) {
		l := &out[place[t.ID]]
		l.Usage, l.Reached = u, reached[t.ID]
		if err != nil {
			l.Trouble = troubleOf(t, err)
		}
	})
	return out, err
}

// troubleOf says in words why a tenant could not be asked what it uses.
func troubleOf(t *tenant.Tenant, err error) string {
	switch {
	case t.State == tenant.Provisioning:
		return "not made to its end: create it again"
	case t.State == tenant.Purging:
		return "being removed"
	case t.Usable() != nil:
		return t.Usable().Error()
	}
	return "its database does not answer"
}

func (v *Visit) createTenant() error {
	spec := tenant.Spec{Hostname: v.Form.Text("hostname"), HandleDomains: words(v.Form.Get("handle_domains")), AdminPassword: v.Form.Get("admin_password"), Settings: map[string]string{}}
	for _, key := range []string{"display_name", "signup"} {
		if text := v.Form.Text(key); text != "" {
			spec.Settings[key] = text
		}
	}
	t, err := v.s.Acts.CreateTenant(v.ctx(), v.By(), spec)
	if err != nil {
		return v.refusedForm(err, func(status int) error { return v.Show(status, "tenant-new", nil) })
	}
	return v.Done(tenantPath(t.Hostname), "%s is made. All servers know it within about a second.", t.Hostname)
}

// words are the parts of a text with spaces, commas or line ends between them.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r <= ' ' })
}

// pages is where one is in a list of known length.
type pages struct {
	Now, Last  int // from 1
	Prev, Next string
}

// cut is which part of a list of n a page shows.
func (p *pages) cut(v *Visit, n, per int) (from, to int) {
	p.Last = max(1, (n+per-1)/per)
	p.Now, _ = strconv.Atoi(v.Query("page"))
	p.Now = min(max(p.Now, 1), p.Last)
	if p.Now > 1 {
		p.Prev = v.with("page", strconv.Itoa(p.Now-1))
	}
	if p.Now < p.Last {
		p.Next = v.with("page", strconv.Itoa(p.Now+1))
	}
	return (p.Now - 1) * per, min(n, p.Now*per)
}

// with is the address of this page with one parameter changed.
func (v *Visit) with(name, value string) string {
	u := *v.R.URL
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.RequestURI()
}
