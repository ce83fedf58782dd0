package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/auroralocus/locus/internal/tenant"
)

// printMade says what was made and what its operator does next. The settings are many, and 'tenant show' has them all:
// here are those that decide what strangers can do.
func printMade(out io.Writer, t *tenant.Tenant, admin, development bool) error {
	text := &strings.Builder{}
	text.WriteString("tenant   " + t.Hostname + " was made, and running servers serve it within a second or two\n")
	text.WriteString("address  " + t.PublicURL + ", " + t.ServiceDID + "\n")
	forms := make([]string, len(t.HandleDomains))
	for i, d := range t.HandleDomains {
		forms[i] = "NAME" + dotted(d)
	}
	text.WriteString("handles  " + strings.Join(forms, ", ") + "\n")
	text.WriteString("sign-up  " + signupMeans(t.Settings.Signup) + "\n")
	relays := strings.Join(t.Settings.Crawlers, ", ")
	if relays == "" || t.Settings.Isolated {
		relays = "none is told of new events"
	}
	text.WriteString("relays   " + relays + "\n")
	if !admin {
		text.WriteString("admin    HTTP Basic user admin has no password: 'locus tenant set " + t.Hostname + " --admin-password -' sets one\n")
	}
	text.WriteString("\nNext:\n")
	for _, step := range afterMaking(t, development) {
		text.WriteString("  " + step + "\n")
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// afterMaking are the steps that follow.
func afterMaking(t *tenant.Tenant, development bool) (steps []string) {
	if !development {
		names := []string{t.Hostname}
		for _, d := range t.HandleDomains {
			names = append(names, "*"+dotted(d))
		}
		steps = append(steps, "DNS: "+strings.Join(names, " and ")+" lead to your servers")
	}
	name := "alice" + dotted(t.HandleDomains[0])
	steps = append(steps, fmt.Sprintf("locus account create %s %s --email %s --password -", t.Hostname, name, "alice@example.com"))
	switch t.Settings.Signup {
	case tenant.SignupInvite:
		steps = append(steps, "locus invite create "+t.Hostname)
	case tenant.SignupApproval:
		steps = append(steps, "locus signup list "+t.Hostname)
	}
	return append(steps, "locus doctor --tenant "+t.Hostname, "locus tenant show "+t.Hostname+"   (all settings; 'locus tenant set' changes them)")
}

// dotted is a handle domain as it stands behind a name.
func dotted(domain string) string { return "." + strings.TrimPrefix(domain, ".") }

func signupMeans(s tenant.Signup) string {
	switch s {
	case tenant.SignupOpen:
		return "open: anybody opens an account"
	case tenant.SignupInvite:
		return "invite: whoever has an invite code opens an account"
	case tenant.SignupApproval:
		return "approval: whom an operator approves"
	}
	return "closed: only operators open accounts"
}
