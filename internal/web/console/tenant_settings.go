package console

import (
	"net/http"
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/tenant"
)

// registerSettings are a tenant's settings, each with what it means. What is the deployment's is changed by its owner only.
func (s *Server) registerSettings() {
	s.look("/settings", supporter, func(v *Visit) error { return v.tenantSettings(http.StatusOK) })
	s.send("/settings", master, (*Visit).setSettings)
	s.send("/settings/smtp", master, func(v *Visit) error {
		url, said := v.Form.Text("url"), "The tenant has a mail server of its own."
		if v.Form.On("none") {
			url, said = "", "The tenant's mail goes by the deployment's server."
		} else if url == "" {
			return v.refusedForm(&problem{status: http.StatusBadRequest, title: "The mail server cannot be so", text: "Enter its address, as smtp://user:password@host:587."}, v.tenantSettings)
		}
		return v.set(v.s.Acts.SetSMTP(v.ctx(), v.Tenant, v.By(), url), said)
	})
	s.send("/settings/password", master, func(v *Visit) error {
		if v.Form.Get("admin_password") == "" {
			return v.refusedForm(&problem{status: http.StatusBadRequest, title: "The password cannot be so", text: "It is empty."}, v.tenantSettings)
		}
		_, err := v.s.Acts.SetTenant(v.ctx(), v.Tenant, v.By(), nil, v.Form.Get("admin_password"))
		return v.set(err, "The admin password is another one.")
	})
	s.send("/settings/secrets", master, (*Visit).rotateSecrets)
}

// tenantSettingsPage is the page of them.
type tenantSettingsPage struct{ Settings []setting }

// setting is one of them with what holds now.
type setting struct {
	tenant.Field
	Now     string
	Words   []string // that there may be; none: any text
	Locked  bool     // for who looks
	Changed bool     // it is not the default
	Wrong   string   // why what was entered cannot be
}

func (v *Visit) tenantSettings(status int) error {
	p := new(tenantSettingsPage)
	for _, f := range tenant.Fields() {
		s := setting{Field: f, Now: v.settingNow(f), Locked: !v.maySet(f.Key)}
		s.Changed = s.Now != f.Default
		switch {
		case f.Kind == "bool":
			s.Words = []string{"true", "false"}
		case strings.Contains(f.Kind, "|"):
			s.Words = strings.Split(f.Kind, "|")
		}
		if v.wrong != nil && v.Form.Has(f.Key) && !s.Locked {
			s.Now = v.Form.Get(f.Key)
			if why, ok := strings.CutPrefix(v.wrong.text, f.Key+": "); ok {
				s.Wrong = why
			}
		}
		p.Settings = append(p.Settings, s)
	}
	return v.Show(status, "tenant_settings", p)
}

func (v *Visit) settingNow(f tenant.Field) string {
	if f.Key == tenant.KeyHandleDomains {
		return strings.Join(v.Tenant.HandleDomains, ",")
	}
	return f.Text(&v.Tenant.Settings)
}

// maySet says whether who looks may change a setting.
func (v *Visit) maySet(key string) bool {
	return v.May(master) && (!tenant.OfDeployment(key) || v.User.Deployment == auth.DeploymentOwner)
}

// setSettings changes what differs from what holds. One that is not in the form stays.
func (v *Visit) setSettings() error {
	changed := map[string]string{}
	for _, f := range tenant.Fields() {
		if text := strings.TrimSpace(v.Form.Get(f.Key)); v.Form.Has(f.Key) && text != v.settingNow(f) {
			if !v.maySet(f.Key) {
				return v.forbidden()
			}
			changed[f.Key] = text
		}
	}
	if len(changed) == 0 {
		return v.Done(v.TenantPath("/settings"), "Nothing was changed.")
	}
	_, err := v.s.Acts.SetTenant(v.ctx(), v.Tenant, v.By(), changed, "")
	var keys []string
	for key := range changed {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return v.set(err, "Changed: "+strings.Join(keys, ", ")+". All servers know it within about a second.")
}

// rotateSecrets replaces what the tenant signs tokens with. Who ends all sessions says which tenant is meant.
func (v *Visit) rotateSecrets() error {
	end := v.Form.On("end_sessions")
	if end && v.Form.Text("confirm") != v.Tenant.Hostname {
		return v.refusedForm(errConfirm, v.tenantSettings)
	}
	from, err := v.s.Acts.RotateSecrets(v.ctx(), v.Tenant, v.By(), end)
	said := "What was signed before is good until it ends."
	if end {
		said = "All sessions end then: everybody signs in again."
	}
	return v.set(err, "The tenant signs with new secrets from "+from.UTC().Format("15:04:05")+" UTC. "+said)
}

func (v *Visit) set(err error, said string) error {
	if err != nil {
		return v.refusedForm(err, v.tenantSettings)
	}
	return v.Done(v.TenantPath("/settings"), "%s", said)
}
