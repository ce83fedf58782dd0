package act

import (
	"net/netip"
	"time"

	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// Operator is somebody who runs the tenant: one of its operators, its moderation service, or the command line's user.
type Operator struct {
	auth.Operator
	Address   string // where the call came from; "" at the command line
	RequestID string // likewise
	// Deployment is the role of somebody who runs the whole deployment, or a part of it, and whose changes are in its own log,
	// too; 0: somebody of the tenant's.
	Deployment auth.DeploymentRole
	Token      *auth.Service // the moderation service's, which does nothing a second time; nil for everybody else
}

// ofTenant says whether o is bound by what a tenant's own people may: its operators, and who was given the whole of it.
func (o Operator) ofTenant() bool {
	return o.Deployment == 0 || o.Deployment == auth.DeploymentTenant
}

// Entry is a line of the audit log about something that o does, or was refused. outcome is [audit.Done] or the
// refusal's name.
func (o Operator) Entry(now time.Time, action, subject, outcome string) audit.Entry {
	return audit.Entry{
		At: now.UTC(), Who: o.Name, Action: action, Subject: subject,
		Address: o.Address, RequestID: o.RequestID, Outcome: outcome,
	}
}

// startedBy is who started a job, as its arguments keep it. The deployment's log has its line when a job is started: where
// what the job does has none of its own there, the operator is without its role in the deployment.
type startedBy struct {
	By      string `json:"by"`
	Role    int    `json:"role"`
	Address string `json:"address,omitempty"`
	Request string `json:"requestId,omitempty"`
}

func started(by Operator) startedBy {
	return startedBy{by.Name, int(by.Role), by.Address, by.RequestID}
}

func (s startedBy) operator() Operator {
	return Operator{Operator: auth.Operator{Name: s.By, Role: auth.Role(s.Role)}, Address: s.Address, RequestID: s.Request}
}

// from is who takes part in what is shared.
func (o Operator) from(t *tenant.Tenant) fair.Path {
	a, _ := netip.ParseAddr(o.Address) // none at the command line
	return fair.PathOf(t.Schema.String(), a)
}

// Visitor is somebody who has no account here yet, or has not shown that there is one.
type Visitor struct {
	Language string    // that texts are in
	From     fair.Path // who takes part in what is shared
	Asks     identity.Asker
	Agent    string // the program, as its User-Agent header has it
	// Browser tells the browser from others, by its cookie. "": a program, or a browser without cookies.
	Browser string
	// Counted says that limits hold for the visitor: wrong passwords make it wait, and mail in its name is counted.
	Counted bool

	device []byte // the key of the browser's row, where its session is good
}

// address is what wrong passwords are counted by. The path ends with it, unless nobody knows it.
func (v Visitor) address() string {
	if len(v.From) < 2 {
		return ""
	}
	return v.From[len(v.From)-1]
}

// Owner is somebody who is signed in to an account.
type Owner struct {
	auth.Account
	Visitor
	Address   string // where the call came from, for the audit log
	RequestID string // likewise
	// ProvenAt is when the owner proved last in this browser who it is. Zero: it did not.
	ProvenAt time.Time
}
