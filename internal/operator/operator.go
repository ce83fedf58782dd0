// Package operator is who uses the dashboard: the rows of operators' second factors, of the browsers in which they are
// signed in, and of the links that let them in first.
//
// It makes nobody an operator. A [Ref] names one of the deployment's tokens or one of a tenant's operators, and whoever
// asks looks up again, each time, whether there still is such a one and what it may do.
package operator

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Errors of this package.
var (
	// ErrNotIn: nobody is signed in by this.
	ErrNotIn = errors.New("nobody is signed in")
	// ErrLink: no such link, or no longer.
	ErrLink = errors.New("this link is no good any more")
	// ErrNoFactor: the operator has no second factor yet.
	ErrNoFactor = errors.New("this operator has no second factor yet")
	// ErrCode: the code is not the app's, or was used before.
	ErrCode = errors.New("the code is not good")
	// ErrManyFactors: there are as many as there may be, or there is this one already.
	ErrManyFactors = errors.New("there is this second factor already, or there are as many as there may be")
	// ErrLastFactor: without it there would be no way in.
	ErrLastFactor = errors.New("the last second factor stays: add another one first")
	// ErrHasFactor: a link would go around it.
	ErrHasFactor = errors.New("this operator has a second factor")
	// ErrAnswered: the question was answered before.
	ErrAnswered = errors.New("the passkey's answer was used before: try again")
)

// Limits of what is kept.
const (
	MaxFactors  = 10
	MaxSessions = 10             // browsers of one operator; a new one ends the oldest
	Life        = 12 * time.Hour // of a session
	Idle        = time.Hour      // without a request it ends before
	LinkLife    = 30 * time.Minute
	SetupLife   = 15 * time.Minute // of a session in which only a second factor can be set up
	seenEvery   = time.Minute
)

// Ways in which a browser came in.
const (
	ByApp     = "app"
	ByPasskey = "passkey"
	ByLink    = "link"
)

// Ref names an operator: one of the deployment by its token's id, one of a tenant by the tenant's number and its name.
type Ref string

// OfToken names an operator of the deployment.
func OfToken(id string) Ref { return Ref("token:" + id) }

// OfTenant names an operator of a tenant.
func OfTenant(tenantID int64, name string) Ref {
	return Ref("tenant:" + strconv.FormatInt(tenantID, 10) + ":" + name)
}

// Token is the token's id; "": it is an operator of a tenant.
func (r Ref) Token() string {
	id, ok := strings.CutPrefix(string(r), "token:")
	if !ok {
		return ""
	}
	return id
}

// Tenant is whose operator it is, and its name there; 0: it is one of the deployment.
func (r Ref) Tenant() (id int64, name string) {
	rest, ok := strings.CutPrefix(string(r), "tenant:")
	number, name, cut := strings.Cut(rest, ":")
	id, err := strconv.ParseInt(number, 10, 64)
	if !ok || !cut || err != nil {
		return 0, ""
	}
	return id, name
}

// Handle is what passkeys know an operator by: no name stands in it.
func (r Ref) Handle() string {
	sum := sha256.Sum256([]byte("operator\x00" + string(r)))
	return "op:" + base64.RawURLEncoding.EncodeToString(sum[:24])
}

// NewSecret draws what a cookie or a link holds: 256 bits.
func NewSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// newCode draws what a link holds. It may be typed.
func newCode() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// maxSecret bounds what is looked at as a secret.
const maxSecret = 100

func hash(purpose, secret string) []byte {
	sum := sha256.Sum256([]byte(purpose + "\x00" + secret))
	return sum[:]
}
