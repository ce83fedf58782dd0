package xrpc

import (
	"net/http"
	"strings"

	"github.com/auroralocus/locus/internal/auth"
)

// kind is what a lexicon's main definition is.
type kind uint8

// The kinds of methods.
const (
	QueryKind kind = iota + 1
	ProcedureKind
	SubscriptionKind
)

// Verb is the HTTP method that a method of the kind is called by.
func (k kind) Verb() string {
	if k == ProcedureKind {
		return http.MethodPost
	}
	return http.MethodGet
}

// Method is what the generated table knows of a method.
type Method struct {
	Kind          kind
	Input, Output string   // encodings; "" none
	Errors        []string // declared names
}

// defaultBodyLimit is the limit of a JSON body whose declaration names no other. A body of exactly the limit is
// accepted.
const defaultBodyLimit = 150 << 10

// Declaration is what is said of a method where it is registered.
type Declaration struct {
	NSID       string
	verb       kind
	Accept     auth.Accept
	expiredToo bool
	services   bool // of account methods: other services may call them too
	Limit      int64
	LimitOf    func(Visitor) int64
	Role       auth.Role // of operator methods
	Limits     LimitRule // from the table
	answer     int64     // what an answer may take in memory
	spare      Sparing
	lags       bool // a replica may answer those without credentials
	note       string
}

// methodText is what the tables say of a method to its readers.
type methodText struct {
	summary string
	errors  []ErrorKind              // that the lexicon does not name
	when    func(name string) string // when an error happens, in words
}

// Query declares a method that is called by GET.
func Query(nsid string) Declaration { return Declaration{NSID: nsid, verb: QueryKind} }

// Procedure declares a method that is called by POST.
func Procedure(nsid string) Declaration { return Declaration{NSID: nsid, verb: ProcedureKind} }

// Subscription declares a method that is a stream of messages over a WebSocket.
func Subscription(nsid string) Declaration { return Declaration{NSID: nsid, verb: SubscriptionKind} }

// Takes names the session tokens that an account or viewer method accepts: auth.Std|auth.NoTakedown.
func (d Declaration) Takes(a auth.Accept) Declaration { d.Accept = a; return d }

// OrService makes an account method also take service tokens for exactly this method: another service calls it in the
// account's name.
func (d Declaration) OrService() Declaration { d.services = true; return d }

// Sparing lets an account go on beyond the method's limit as long as of says so. See [AccountCaller.Spared].
func (d Declaration) Sparing(of Sparing) Declaration {
	d.spare, d.note = of, strings.TrimSpace(d.note+" beyond the limit: what records wait for")
	return d
}

// Expired makes a refresh method take tokens past their time.
func (d Declaration) Expired() Declaration { d.expiredToo = true; return d }

// Lags lets a replica of the database answer callers without credentials: how much older it may be is the method's to say.
func (d Declaration) Lags() Declaration {
	d.lags = true
	return d.Noting("replicas")
}

// Body limits the decoded request body to n bytes.
func (d Declaration) Body(n int64) Declaration { d.Limit = n; return d }

// BodyOf limits the decoded request body by a tenant's setting; what names it in the access table.
// A limit of 0 is none.
func (d Declaration) BodyOf(what string, of func(Visitor) int64) Declaration {
	d.LimitOf, d.note = of, strings.TrimSpace(d.note+" body≤"+what)
	return d
}

// Noting adds a remark to the method's line in the access table.
func (d Declaration) Noting(s string) Declaration {
	d.note = strings.TrimSpace(d.note + " " + s)
	return d
}
