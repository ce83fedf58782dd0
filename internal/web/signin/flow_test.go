package signin

import (
	"testing"
	"time"
)

// TestNext goes through the table of prompts, with every number of signed-in accounts.
func TestNext(t *testing.T) {
	since := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	alice := Known{DID: "did:plc:alice", Handle: "alice.test", Proven: since.Add(-time.Hour), Granted: true}
	bob := Known{DID: "did:plc:bob", Handle: "bob.test", Proven: since.Add(-time.Hour)}
	fresh := alice
	fresh.Proven = since.Add(time.Second)
	asleep := alice
	asleep.Deactivated = true
	both := []Known{alice, bob}

	for name, c := range map[string]struct {
		errand Errand
		wish   Wish
		want   string
	}{
		"nobody, nothing":                   {Errand{}, Wish{}, "sign-in"},
		"nobody, sign-up is possible":       {Errand{SignUp: true}, Wish{}, "welcome"},
		"nobody, but a hint":                {Errand{SignUp: true, Hint: "alice.test"}, Wish{}, "sign-in"},
		"one, known app, no hint":           {Errand{Known: both[:1]}, Wish{}, "consent alice.test"},
		"one, known app, hint":              {Errand{Known: both, Hint: "Alice.Test"}, Wish{}, "grant alice.test"},
		"one, hint by DID":                  {Errand{Known: both, Hint: alice.DID}, Wish{}, "grant alice.test"},
		"hint with an at sign":              {Errand{Known: both, Hint: "@alice.test"}, Wish{}, "grant alice.test"},
		"hint, not granted yet":             {Errand{Known: both, Hint: "bob.test"}, Wish{}, "consent bob.test"},
		"hint, an app of nobody's":          {Errand{Known: both, Hint: "alice.test", AskAlways: true}, Wish{}, "consent alice.test"},
		"hint, deactivated":                 {Errand{Known: []Known{asleep}, Hint: "alice.test"}, Wish{}, "reactivate alice.test"},
		"hint of somebody else":             {Errand{Known: both, Hint: "carol.test"}, Wish{}, "sign-in"},
		"several":                           {Errand{Known: both}, Wish{}, "choose"},
		"several, one is chosen":            {Errand{Known: both}, Wish{Account: bob.DID, Acted: true}, "consent bob.test"},
		"a known one is chosen":             {Errand{Known: both}, Wish{Account: alice.DID, Acted: true}, "grant alice.test"},
		"an address chooses":                {Errand{Known: both}, Wish{Account: alice.DID}, "consent alice.test"},
		"an address chooses a stranger":     {Errand{Known: both}, Wish{Account: "did:plc:carol"}, "choose"},
		"a form chooses against the hint":   {Errand{Known: both, Hint: "alice.test"}, Wish{Account: bob.DID, Acted: true}, "grant alice.test"},
		"wish of a page":                    {Errand{Known: both}, Wish{Step: StepForgot}, "forgot"},
		"wish of a page that needs a state": {Errand{Known: both}, Wish{Step: StepConsent}, "choose"},
		"wish of nonsense":                  {Errand{Known: both}, Wish{Step: "nonsense"}, "choose"},
		"sign-up where there is none":       {Errand{}, Wish{Step: StepSignUp}, "sign-in"},
		"chooser without accounts":          {Errand{}, Wish{Step: StepChoose}, "sign-in"},

		"none, nobody":             {Errand{Prompt: "none"}, Wish{}, "refuse login_required"},
		"none, nobody, of nobody":  {Errand{Prompt: "none", AskAlways: true}, Wish{}, "refuse consent_required"},
		"none, one":                {Errand{Prompt: "none", Known: both[:1]}, Wish{}, "grant alice.test"},
		"none, one, a wish":        {Errand{Prompt: "none", Known: both[:1]}, Wish{Step: StepSignIn}, "grant alice.test"},
		"none, one, not granted":   {Errand{Prompt: "none", Known: both[1:]}, Wish{}, "refuse consent_required"},
		"none, one, of nobody":     {Errand{Prompt: "none", Known: both[:1], AskAlways: true}, Wish{}, "refuse consent_required"},
		"none, several":            {Errand{Prompt: "none", Known: both}, Wish{}, "refuse account_selection_required"},
		"none, several and a hint": {Errand{Prompt: "none", Known: both, Hint: "alice.test"}, Wish{}, "grant alice.test"},
		"none, deactivated":        {Errand{Prompt: "none", Known: []Known{asleep}}, Wish{}, "refuse login_required"},

		"login, one":                 {Errand{Prompt: "login", Known: both[:1]}, Wish{}, "sign-in alice.test"},
		"login, chosen":              {Errand{Prompt: "login", Known: both}, Wish{Account: alice.DID, Acted: true}, "sign-in alice.test"},
		"login, shown since":         {Errand{Prompt: "login", Known: []Known{fresh}}, Wish{Account: alice.DID, Acted: true}, "grant alice.test"},
		"login, hint, shown before":  {Errand{Prompt: "login", Known: both, Hint: "alice.test"}, Wish{}, "sign-in alice.test"},
		"login, hint, by an address": {Errand{Prompt: "login", Known: []Known{fresh}, Hint: "alice.test"}, Wish{}, "consent alice.test"},

		"consent, known app":         {Errand{Prompt: "consent", Known: both[:1]}, Wish{Account: alice.DID, Acted: true}, "consent alice.test"},
		"consent, hint":              {Errand{Prompt: "consent", Known: both, Hint: "alice.test"}, Wish{}, "consent alice.test"},
		"select_account, one":        {Errand{Prompt: "select_account", Known: both[:1]}, Wish{}, "choose"},
		"select_account, chosen":     {Errand{Prompt: "select_account", Known: both[:1]}, Wish{Account: alice.DID, Acted: true}, "grant alice.test"},
		"select_account, nobody":     {Errand{Prompt: "select_account"}, Wish{}, "sign-in"},
		"select_account, and a hint": {Errand{Prompt: "select_account", Known: both, Hint: "alice.test"}, Wish{}, "choose"},
		"create":                     {Errand{Prompt: "create", SignUp: true, Known: both}, Wish{}, "sign-up"},
		"create, closed":             {Errand{Prompt: "create"}, Wish{}, "sign-in"},
		"create, done":               {Errand{Prompt: "create", SignUp: true, Known: both}, Wish{Account: bob.DID, Acted: true}, "consent bob.test"},
	} {
		c.errand.App, c.errand.Since = true, since
		got := c.errand.Next(c.wish)
		said := string(got.Step)
		switch {
		case got.Grant:
			said = "grant"
		case got.Refusal != "":
			said = "refuse " + got.Refusal
		}
		if got.Account != nil {
			said += " " + got.Account.Handle
		}
		if said != c.want {
			t.Errorf("%s: %s, want %s", name, said, c.want)
		}
	}
}

// TestNextForAccountPages: without an app there is nothing to grant.
func TestNextForAccountPages(t *testing.T) {
	known := []Known{{DID: "did:plc:alice", Handle: "alice.test"}, {DID: "did:plc:bob", Deactivated: true}}
	for name, c := range map[string]struct {
		errand Errand
		wish   Wish
		want   Turn
	}{
		"nobody":      {Errand{SignUp: true}, Wish{}, Turn{Step: StepSignIn}},
		"one":         {Errand{Known: known[:1]}, Wish{}, Turn{Step: StepChoose}},
		"chosen":      {Errand{Known: known}, Wish{Account: "did:plc:alice"}, Turn{Account: &known[0], Grant: true}},
		"deactivated": {Errand{Known: known}, Wish{Account: "did:plc:bob"}, Turn{Account: &known[1], Grant: true}},
	} {
		got := c.errand.Next(c.wish)
		if got.Step != c.want.Step || got.Grant != c.want.Grant || got.Refusal != "" || (got.Account == nil) != (c.want.Account == nil) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
