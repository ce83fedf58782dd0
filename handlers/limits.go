package handlers

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/limit"
)

// limitKey is whose calls a limit counts.
type limitKey uint8

const (
	perAddress    limitKey = iota + 1 // the caller's; of IPv6 its network of 64 bits
	perAccount                        // the caller's DID
	perIdentifier                     // who is to be signed in, from an address
)

func (k limitKey) String() string {
	return [...]string{"", "address", "account", "identifier+address"}[k]
}

// limitRule is one method's limit: all its buckets must have room.
type limitRule struct {
	by      limitKey
	buckets []limit.Bucket
}

const (
	fiveMinutes = 5 * time.Minute
	day         = 24 * time.Hour
)

// The limits of one tenant. spec: behaviour of the reference server; docs/limits.md has them for people.
var (
	everyPicture = limit.Bucket{Name: "pictures", Points: 3000, Window: fiveMinutes}
	everyCall    = limit.Bucket{Name: "global", Points: 3000, Window: fiveMinutes}
	writes       = limitRule{perAccount, []limit.Bucket{{Name: "repo-write-hour", Points: 5000, Window: time.Hour}, {Name: "repo-write-day", Points: 35_000, Window: day}}}
	// wrongOperators counts what no operator's password or token was.
	wrongOperators = limit.Bucket{Name: "wrong-operator", Points: 30, Window: fiveMinutes}

	// resetMails and codeMails are of the mails to one account, whoever asks for them.
	resetMails = []limit.Bucket{{Name: "reset-mail-1h", Points: 5, Window: time.Hour}, {Name: "reset-mail-1d", Points: 15, Window: day}}
	codeMails  = []limit.Bucket{{Name: "code-mail-1m", Points: 2, Window: time.Minute}}

	// protectLimit is of methods that look at a password or a code.
	protectLimit = limitRule{perAccount, []limit.Bucket{{Name: "protect-5m", Points: 30, Window: fiveMinutes}, {Name: "protect-1d", Points: 300, Window: day}}}

	// codes is of methods that look at a mailed code.
	codes = limitRule{perAccount, []limit.Bucket{{Points: 50, Window: fiveMinutes}}}

	limitRules = map[string]limitRule{
		"org.auroralocus.server.beginAuthenticator":         protectLimit,
		"org.auroralocus.server.confirmAuthenticator":       protectLimit,
		"org.auroralocus.server.createBackupCodes":          protectLimit,
		"org.auroralocus.server.confirmSession":             protectLimit,
		"org.auroralocus.server.disableAuthenticator":       protectLimit,
		"org.auroralocus.server.setEmailFactor":             protectLimit,
		"com.atproto.repo.createRecord":                     writes,
		"com.atproto.repo.putRecord":                        writes,
		"com.atproto.repo.deleteRecord":                     writes,
		"com.atproto.repo.applyWrites":                      writes,
		"com.atproto.repo.uploadBlob":                       {perAccount, []limit.Bucket{{Points: 1000, Window: day}}},
		"com.atproto.server.createAccount":                  {perAddress, []limit.Bucket{{Points: 100, Window: fiveMinutes}}},
		"com.atproto.server.createSession":                  {perIdentifier, []limit.Bucket{{Points: 30, Window: fiveMinutes}, {Points: 300, Window: day}}},
		"com.atproto.server.deleteAccount":                  {perAddress, []limit.Bucket{{Points: 50, Window: fiveMinutes}}},
		"com.atproto.server.requestPasswordReset":           {perAddress, []limit.Bucket{{Points: 15, Window: time.Hour}, {Points: 50, Window: day}}},
		"com.atproto.server.resetPassword":                  {perAddress, []limit.Bucket{{Points: 50, Window: fiveMinutes}}},
		"com.atproto.server.reserveSigningKey":              {perAddress, []limit.Bucket{{Points: 20, Window: fiveMinutes}, {Points: 200, Window: day}}},
		"com.atproto.server.requestAccountDelete":           {perAccount, []limit.Bucket{{Points: 5, Window: time.Hour}, {Points: 15, Window: day}}},
		"com.atproto.server.requestEmailConfirmation":       {perAccount, []limit.Bucket{{Points: 5, Window: time.Hour}, {Points: 15, Window: day}}},
		"com.atproto.server.requestEmailUpdate":             {perAccount, []limit.Bucket{{Points: 5, Window: time.Hour}, {Points: 15, Window: day}}},
		"com.atproto.server.confirmEmail":                   codes,
		"com.atproto.server.updateEmail":                    codes,
		"com.atproto.identity.signPlcOperation":             codes,
		"com.atproto.identity.requestPlcOperationSignature": {perAccount, []limit.Bucket{{Points: 5, Window: time.Hour}, {Points: 15, Window: day}}},
		"com.atproto.identity.refreshIdentity":              {perAddress, []limit.Bucket{{Points: 30, Window: fiveMinutes}, {Points: 500, Window: day}}},
		"com.atproto.server.deactivateAccount":              {perAccount, []limit.Bucket{{Points: 10, Window: fiveMinutes}, {Points: 50, Window: day}}},
		"com.atproto.identity.updateHandle":                 {perAccount, []limit.Bucket{{Points: 10, Window: fiveMinutes}, {Points: 50, Window: day}}},
		"com.atproto.sync.getRepo":                          {perAddress, []limit.Bucket{{Points: 6000, Window: fiveMinutes}}},
	}
)

// limitOf is a method's rule, its buckets named.
func limitOf(nsid string) limitRule {
	r, ok := limitRules[nsid]
	if !ok {
		return limitRule{}
	}
	out := limitRule{by: r.by}
	for _, b := range r.buckets {
		if b.Name == "" {
			b.Name = nsid[strings.LastIndexByte(nsid, '.')+1:] + "-" + shortWindow(b.Window)
		}
		out.buckets = append(out.buckets, b)
	}
	return out
}

func shortWindow(d time.Duration) string {
	switch {
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}

// String is the rule as the access table has it: 30/5m 300/1d per identifier+address.
func (r limitRule) String() string {
	if r.by == 0 {
		return "-"
	}
	var out []string
	for _, b := range r.buckets {
		out = append(out, fmt.Sprintf("%d/%s", b.Points, shortWindow(b.Window)))
	}
	return strings.Join(out, " ") + " per " + r.by.String()
}

// limited is an input whose call costs other than one point, or that names who is to be signed in.
type (
	limitCost       interface{ limitCost() int64 }
	limitIdentifier interface{ limitIdentifier() string }
)

func (*repoCreateRecordInput) limitCost() int64 { return 3 }
func (*repoPutRecordInput) limitCost() int64    { return 2 }
func (*repoDeleteRecordInput) limitCost() int64 { return 1 }
func (in *repoApplyWritesInput) limitCost() (n int64) {
	for _, w := range in.Body.Writes {
		switch {
		case w.Create != nil:
			n += 3
		case w.Update != nil:
			n += 2
		default:
			n++
		}
	}
	return n
}

func (in *serverCreateSessionInput) limitIdentifier() string {
	return accounts.Identifier(in.Body.Identifier)
}

// charge counts a call of a method, after its caller and body were found good and before its handler.
func (g *group) charge(ctx context.Context, c *call, op *operation, caller, in any) *Error {
	if op.limits.by == 0 || !c.state.limited(c.req, g.limits) {
		return nil
	}
	key := addressKey(c.visitor().Addr())
	switch op.limits.by {
	case perAccount:
		a, ok := caller.(accountCaller)
		if !ok {
			return nil
		}
		key = a.DID
	case perIdentifier:
		if i, ok := in.(limitIdentifier); ok {
			sum := sha256.Sum256([]byte(i.limitIdentifier())) // may be long, and an address is nobody's business
			key = hex.EncodeToString(sum[:12]) + "|" + key
		}
	}
	cost := int64(1)
	if n, ok := in.(limitCost); ok {
		cost = n.limitCost()
	}
	t := c.state.Tenant
	v := g.limits.Take(t.Schema, key, cost, t.Settings.RateLimitPercent, op.limits.buckets...)
	if op.spare != nil {
		c.state.spare = &spared{group: g, state: c.state, rule: op.limits, key: key}
		if v.Refused {
			ok, err := c.state.spare.ask(ctx, caller.(accountCaller), op.spare)
			if err != nil {
				return c.fail(err)
			}
			v.Refused = !ok
		}
	}
	return c.state.judge(v, g.now())
}

// addressKey is what counts as one caller: an address, of IPv6 its network of 64 bits.
func addressKey(a netip.Addr) string {
	all := fair.Networks(a)
	if len(all) == 0 {
		return a.String()
	}
	return fair.Key(all[len(all)-1])
}

// limited says whether this request is counted at all.
func (s *state) limited(r *http.Request, counter *limit.Counter) bool {
	if counter == nil || s.Tenant == nil || !s.Tenant.RateLimited {
		return false
	}
	if s.bypass == nil {
		b := s.mayBypass(r)
		s.bypass = &b
	}
	return !*s.bypass
}

func (s *state) mayBypass(r *http.Request) bool {
	set := &s.Tenant.Settings
	if secret := r.Header.Get("X-Ratelimit-Bypass"); secret != "" && set.RateLimitBypassSHA256 != "" {
		want, err := hex.DecodeString(set.RateLimitBypassSHA256)
		got := sha256.Sum256([]byte(secret))
		if err == nil && subtle.ConstantTimeCompare(got[:], want) == 1 {
			return true
		}
	}
	if len(set.RateLimitBypassAddrs) == 0 {
		return false
	}
	addr := visitor{req: r}.Addr()
	for _, text := range set.RateLimitBypassAddrs {
		if p, err := netip.ParsePrefix(text); err == nil && p.Contains(addr) {
			return true
		}
		if a, err := netip.ParseAddr(text); err == nil && a == addr {
			return true
		}
	}
	return false
}

// judge writes the tightest of the request's limits to the answer's headers, and refuses when it must.
func (s *state) judge(v limit.Verdict, now time.Time) *Error {
	if !v.Tighter(s.verdict) {
		return nil
	}
	s.verdict = v
	h := s.w.Header()
	h["Ratelimit-Limit"] = []string{strconv.FormatInt(v.Limit, 10)}
	h["Ratelimit-Remaining"] = []string{strconv.FormatInt(v.Remaining, 10)}
	h["Ratelimit-Reset"] = []string{strconv.FormatInt(v.Reset.Unix(), 10)}
	h["Ratelimit-Policy"] = []string{v.Policy()}
	if !v.Refused {
		return nil
	}
	return s.slowDown(time.Duration(v.RetryAfter(now)) * time.Second)
}

// slowDown is the answer to who must wait.
func (s *state) slowDown(wait time.Duration) *Error {
	s.w.Header().Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	return refuse(http.StatusTooManyRequests, "", "Rate Limit Exceeded")
}

// What the network is asked for in a caller's name: DID documents and handles that are not known.
var (
	lookups       = limit.Bucket{Name: "lookup-5m", Points: 300, Window: fiveMinutes}
	netLookups    = limit.Bucket{Name: "lookup-net-5m", Points: 1000, Window: fiveMinutes} // of IPv6, 48 bits
	tenantLookups = limit.Bucket{Name: "lookups-5m", Points: 6000, Window: fiveMinutes}
)

// chargeLookup counts one such question for the address, for the network of an IPv6 address, and for the tenant.
func (s *state) chargeLookup(r *http.Request) *Error {
	if !s.limited(r, s.limits) {
		return nil
	}
	set := &s.Tenant.Settings
	if e := s.judge(s.limits.Take(s.Tenant.Schema, addressKey(s.addr), 1, set.RateLimitPercent, lookups), s.now()); e != nil {
		return e
	}
	if wide := fair.Networks(s.addr); len(wide) > 1 {
		if e := s.judge(s.limits.Take(s.Tenant.Schema, fair.Key(wide[0]), 1, set.RateLimitPercent, netLookups), s.now()); e != nil {
			return e
		}
	}
	return s.judge(s.limits.Take(s.Tenant.Schema, "", 1, set.RateLimitPercent, tenantLookups), s.now())
}

// chargeAll counts every call under /xrpc from one address, whatever it is for; archives have a limit of their own.
func (s *Server) chargeAll(st *state, r *http.Request) *Error {
	if strings.HasPrefix(r.URL.Path, "/img/") && st.limited(r, s.limits) {
		v := s.limits.Take(st.Tenant.Schema, addressKey(st.addr), 1, st.Tenant.Settings.RateLimitPercent, everyPicture)
		return st.judge(v, s.now())
	}
	if !strings.HasPrefix(r.URL.Path, "/xrpc/") || r.URL.Path == "/xrpc/_health" || r.URL.Path == "/xrpc/com.atproto.sync.getRepo" || !st.limited(r, s.limits) {
		return nil
	}
	v := s.limits.Take(st.Tenant.Schema, addressKey(visitor{req: r}.Addr()), 1, st.Tenant.Settings.RateLimitPercent, everyCall)
	return st.judge(v, s.now())
}
