// Package tenant knows which tenant a host is, and creates, configures and suspends tenants.
//
// A tenant is one hosted PDS. Its row, names and settings lie in the control schema, everything else in a schema of its
// own. A [Registry] keeps all tenants of the deployment in memory (a tenant costs about 2 KB) and asks once a second
// for what changed, so no request pays a query to learn who it is for, and the names strangers make up in Host headers
// leave no trace.
package tenant

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/auroralocus/locus/db"
)

// Errors of this package.
var (
	// ErrUnknownHost: no tenant answers to that name. There is no default tenant.
	ErrUnknownHost = errors.New("unknown host")
	// ErrTenantSuspended: the tenant exists and is switched off by the operator.
	ErrTenantSuspended = errors.New("tenant is suspended")
	// ErrTenantDeleted: the tenant was deleted by the operator, and can be brought back for a while.
	ErrTenantDeleted = errors.New("tenant is deleted")
	// ErrTooNew: a newer version of this program has migrated the tenant's schema.
	ErrTooNew = errors.New("the tenant's schema is newer than this program")
	// ErrBehind: the tenant's schema has not been migrated to this program's version yet.
	ErrBehind = errors.New("the tenant's schema is older than this program")
	// ErrNotFound: no tenant of that hostname or id, asked for by an operator.
	ErrNotFound = errors.New("no such tenant")
	// ErrHostnameTaken: another tenant has that hostname or handle domain.
	ErrHostnameTaken = errors.New("name belongs to another tenant")
	// ErrBadHostname: not a hostname or handle domain a tenant may have.
	ErrBadHostname = errors.New("unusable hostname")
	// ErrBadSetting: unknown key or unacceptable value. The text says which and why.
	ErrBadSetting = errors.New("bad setting")
	// ErrMasterKey: what tenants have sealed does not open.
	ErrMasterKey = errors.New("the secrets in this database are sealed under another master key")
)

// State is where a tenant is in its life, as stored in control.tenant.state.
type State int16

// The states of a tenant.
const (
	Provisioning State = 0 // its creation has not finished: nobody sees it
	Active       State = 1
	Moving       State = 2 // between Postgres nodes: read-only
	Suspended    State = 3 // switched off by the operator
	Deleting     State = 4 // deleted by the operator, who can still bring it back
	Purging      State = 5 // what it had is being removed: nobody sees it

	// TooNew is never stored: a newer program has migrated the schema, and this process leaves the tenant alone. A
	// process that serves a tenant while that is done goes on, for migrations only add while two versions run.
	TooNew State = 100
	// Behind is never stored: this program has not migrated the schema yet. It does so before the first request.
	Behind State = 101
)

func (s State) String() string {
	switch s {
	case Provisioning:
		return "provisioning"
	case Active:
		return "active"
	case Moving:
		return "moving"
	case Suspended:
		return "suspended"
	case Deleting:
		return "deleting"
	case Purging:
		return "purging"
	case TooNew:
		return "newer than this program"
	case Behind:
		return "to be upgraded"
	}
	return "unknown"
}

// Tenant is one hosted PDS as it was at Revision. It is never changed: a new setting makes a new value, so whoever
// holds one across a request sees one consistent state.
type Tenant struct {
	ID         int64
	Hostname   string // canonical, lower case, without port
	Schema     db.Schema
	ServiceDID string // did:web:<hostname>, with %3A<port> where PublicURL has a port
	PublicURL  string // origin without trailing slash: https://<hostname>
	State      State
	Settings   Settings
	// HandleDomains are without leading dot, sorted. Accounts may have a handle of one label in front of one of them.
	HandleDomains []string
	Former        []Former // names that it had
	RateLimited   bool     // as the setting says, or the deployment
	NodeID        int32    // the Postgres that holds the schema
	Revision      int64    // grows with every change; caches of what belongs to the tenant key on it
	CreatedAt     time.Time

	behind bool // the schema is older than this program, whatever the state
}

// Usable tells whether this program may read and write the tenant's schema. Errors: [ErrTooNew], [ErrBehind].
func (t *Tenant) Usable() error {
	if t.behind {
		return fmt.Errorf("%s: %w: 'locus migrate' brings it up to date", t.Hostname, ErrBehind)
	}
	if t.State == TooNew {
		return fmt.Errorf("%s: %w: update the program", t.Hostname, ErrTooNew)
	}
	return nil
}

// Former is a name that a tenant had before. It stays the tenant's, and leads to it.
type Former struct {
	Hostname   string
	ServiceDID string
	PublicURL  string
	// Since is when the last account's DID was changed. Zero: that is still being done, and the name is served as before.
	Since time.Time
}

// Was is one of the names that the tenant had.
func (t *Tenant) Was(hostname string) (Former, bool) {
	i := slices.IndexFunc(t.Former, func(f Former) bool { return f.Hostname == hostname })
	if i < 0 {
		return Former{}, false
	}
	return t.Former[i], true
}

// As is the tenant as it was called once, for those few answers that are about that name.
func (t *Tenant) As(f Former) *Tenant {
	was := *t
	was.Hostname, was.ServiceDID, was.PublicURL = f.Hostname, f.ServiceDID, f.PublicURL
	return &was
}

// IsService says whether a DID is the tenant's own, or was: what was given out under an older name is good until it runs
// out.
func (t *Tenant) IsService(did string) bool {
	return did == t.ServiceDID || slices.ContainsFunc(t.Former, func(f Former) bool { return f.ServiceDID == did })
}

// IsAt says the same of an address: of an issuer of tokens, or of the server in a DID document.
func (t *Tenant) IsAt(url string) bool {
	return url == t.PublicURL || slices.ContainsFunc(t.Former, func(f Former) bool { return f.PublicURL == url })
}

// HasStream says whether the tenant's events can be read. Whoever follows them learns so that a tenant was suspended or
// deleted.
func (t *Tenant) HasStream() bool {
	return t.State == Active || t.State == Moving || t.State == Suspended || t.State == Deleting
}

// UserDomains are the handle domains as describeServer shows them: with a leading dot.
func (t *Tenant) UserDomains() []string {
	out := make([]string, len(t.HandleDomains))
	for i, d := range t.HandleDomains {
		out[i] = "." + d
	}
	return out
}

// Kind says what a host is to its tenant.
type Kind uint8

// The kinds of host.
const (
	// Canonical is the tenant's hostname: everything is served.
	Canonical Kind = iota + 1
	// HandleHost is a name under a handle domain: only what handle resolution needs is served.
	HandleHost
	// FormerHost is a hostname that the tenant had before: see [Former].
	FormerHost
)

// Match is whom a host leads to.
type Match struct {
	*Tenant
	Kind   Kind
	Handle string // of a HandleHost and a FormerHost: the whole host, lower case
}

// Was is the name that the request called a tenant by, of a [FormerHost].
func (m Match) Was() (Former, bool) {
	if m.Kind != FormerHost {
		return Former{}, false
	}
	return m.Tenant.Was(m.Handle)
}

// URL is the tenant's origin as the request knows it.
func (m Match) URL() string {
	if f, ok := m.Was(); ok {
		return f.PublicURL
	}
	return m.PublicURL
}

// Values of control.hostname.kind, which is a set of bits: a hostname is very often a handle domain too.
const (
	nameHost   int16 = 1
	nameHandle int16 = 2
	nameFormer int16 = 4
)
