package xrpc

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

	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/limit"
)

// limitKey is whose calls a limit counts.
type limitKey uint8

const (
	byAddress limitKey = iota + 1
	byAccount
	byIdentifier
)

func (k limitKey) String() string {
	return [...]string{"", "address", "account", "identifier+address"}[k]
}

// LimitRule is one method's limit: all its buckets must have room.
type LimitRule struct {
	by      limitKey
	Buckets []limit.Bucket
}

// PerAddress limits the calls from one address; of IPv6 from its network of 64 bits.
func PerAddress(b ...limit.Bucket) LimitRule { return LimitRule{byAddress, b} }

// PerAccount limits an account's calls.
func PerAccount(b ...limit.Bucket) LimitRule { return LimitRule{byAccount, b} }

// PerIdentifier limits the calls from one address to sign in one account, which the input names.
func PerIdentifier(b ...limit.Bucket) LimitRule { return LimitRule{byIdentifier, b} }

// Limits of one tenant that no method has alone.
var (
	everyPicture = limit.Bucket{Name: "pictures", Points: 3000, Window: 5 * time.Minute}
	everyCall    = limit.Bucket{Name: "global", Points: 3000, Window: 5 * time.Minute}
	// wrongOperators counts what no operator's password or token was.
	wrongOperators = limit.Bucket{Name: "wrong-operator", Points: 30, Window: 5 * time.Minute}
)

// limitOf is a method's rule, its buckets named.
func (t *Tables) limitOf(nsid string) LimitRule {
	r, ok := t.Limits[nsid]
	if !ok {
		return LimitRule{}
	}
	out := LimitRule{by: r.by}
	for _, b := range r.Buckets {
		if b.Name == "" {
			b.Name = nsid[strings.LastIndexByte(nsid, '.')+1:] + "-" + shortWindow(b.Window)
		}
		out.Buckets = append(out.Buckets, b)
	}
	return out
}

func shortWindow(d time.Duration) string {
	switch {
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}

// String is the rule as the access table has it: 30/5m 300/1d per identifier+address.
func (r LimitRule) String() string {
	if r.by == 0 {
		return "-"
	}
	var out []string
	for _, b := range r.Buckets {
		out = append(out, fmt.Sprintf("%d/%s", b.Points, shortWindow(b.Window)))
	}
	return strings.Join(out, " ") + " per " + r.by.String()
}

// limited is an input whose call costs other than one point, or that names who is to be signed in.
type (
	limitCost       interface{ LimitCost() int64 }
	limitIdentifier interface{ LimitIdentifier() string }
)

// charge counts a call of a method, after its caller and body were found good and before its handler.
func (g *Group) charge(ctx context.Context, c *call, op *Operation, caller, in any) *Error {
	if op.Limits.by == 0 || !c.state.limited() {
		return nil
	}
	key := addressKey(c.visitor().Addr())
	switch op.Limits.by {
	case byAccount:
		switch a := caller.(type) {
		case AccountCaller:
			key = a.DID
		case accountOrModerator:
			if a.account == nil {
				return nil
			}
			key = a.account.DID
		default:
			return nil
		}
	case byIdentifier:
		if i, ok := in.(limitIdentifier); ok {
			sum := sha256.Sum256([]byte(i.LimitIdentifier())) // may be long, and an address is nobody's business
			key = hex.EncodeToString(sum[:12]) + "|" + key
		}
	}
	cost := int64(1)
	if n, ok := in.(limitCost); ok {
		cost = n.LimitCost()
	}
	t := c.state.Tenant
	v := g.limits.Take(t.Schema, key, cost, t.Settings.RateLimitPercent, op.Limits.Buckets...)
	if op.spare != nil {
		c.state.spare = &spared{group: g, state: c.state, rule: op.Limits, key: key}
		if v.Refused {
			ok, err := c.state.spare.ask(ctx, caller.(AccountCaller), op.spare)
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
func (s *state) limited() bool {
	if s.limits == nil || s.Tenant == nil || !s.Tenant.RateLimited {
		return false
	}
	if s.bypass == nil {
		b := s.mayBypass()
		s.bypass = &b
	}
	return !*s.bypass
}

func (s *state) mayBypass() bool {
	set := &s.Tenant.Settings
	if secret := s.req.Header.Get("X-Ratelimit-Bypass"); secret != "" && set.RateLimitBypassSHA256 != "" {
		want, err := hex.DecodeString(set.RateLimitBypassSHA256)
		got := sha256.Sum256([]byte(secret))
		if err == nil && subtle.ConstantTimeCompare(got[:], want) == 1 {
			return true
		}
	}
	if len(set.RateLimitBypassAddrs) == 0 {
		return false
	}
	for _, text := range set.RateLimitBypassAddrs {
		if p, err := netip.ParsePrefix(text); err == nil && p.Contains(s.addr) {
			return true
		}
		if a, err := netip.ParseAddr(text); err == nil && a == s.addr {
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
	s.w.Header().Set("Retry-After", strconv.Itoa(seconds(wait)))
	return Refuse(http.StatusTooManyRequests, "", "Rate Limit Exceeded")
}

// What the network is asked for in a caller's name: DID documents and handles that are not known.
var (
	lookups       = limit.Bucket{Name: "lookup-5m", Points: 300, Window: 5 * time.Minute}
	netLookups    = limit.Bucket{Name: "lookup-net-5m", Points: 1000, Window: 5 * time.Minute} // of IPv6, 48 bits
	tenantLookups = limit.Bucket{Name: "lookups-5m", Points: 6000, Window: 5 * time.Minute}
)

// chargeLookup counts one such question for the address, for the network of an IPv6 address, and for the tenant.
func (s *state) chargeLookup() *Error {
	if !s.limited() {
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
	if strings.HasPrefix(r.URL.Path, "/img/") && st.limited() {
		v := s.limits.Take(st.Tenant.Schema, addressKey(st.addr), 1, st.Tenant.Settings.RateLimitPercent, everyPicture)
		return st.judge(v, s.now())
	}
	if !strings.HasPrefix(r.URL.Path, "/xrpc/") || r.URL.Path == "/xrpc/_health" || r.URL.Path == "/xrpc/com.atproto.sync.getRepo" || !st.limited() {
		return nil
	}
	v := s.limits.Take(st.Tenant.Schema, addressKey(st.addr), 1, st.Tenant.Settings.RateLimitPercent, everyCall)
	return st.judge(v, s.now())
}

// Charge counts a request for a page, for the address that it came from, and tells the answer's headers of it. ok: there is
// room; if not, the headers say when there is again.
func (v Visitor) Charge(b ...limit.Bucket) (ok bool) {
	st := v.state
	if !st.limited() {
		return true
	}
	return st.judge(st.limits.Take(v.Tenant.Schema, addressKey(st.addr), 1, v.Tenant.Settings.RateLimitPercent, b...), st.now()) == nil
}
