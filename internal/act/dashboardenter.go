package act

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/passkey"
	"github.com/auroralocus/locus/internal/tenant"
)

// Seat is where an operator sits who comes into the dashboard.
type Seat struct {
	operator.Browser
	RequestID string
	Mark      string // tells the browser from others: what its forms carry
	Party     passkey.Party
}

// DashboardEntry is an operator who came in. Secret is for the browser's cookie.
type DashboardEntry struct {
	Secret  string
	Session operator.Session
	User    DashboardUser
}

// DashboardSee is who a browser's cookie belongs to, as it may act now. Errors: [operator.ErrNotIn].
func (a *Acts) DashboardSee(ctx context.Context, secret string) (operator.Session, DashboardUser, error) {
	s, err := operator.See(ctx, a.DB.Control(), a.moment(), secret)
	if err != nil {
		return s, DashboardUser{}, err
	}
	u, err := a.DashboardUser(ctx, s.Who)
	return s, u, err
}

func (a *Acts) moment() time.Time { return a.Now().UTC().Truncate(time.Microsecond) }

// DashboardByCode lets an operator in by its token and a code of its app. host is the tenant of a tenant's operator. Errors:
// [auth.ErrOperator], [operator.ErrNoFactor], [operator.ErrCode].
func (a *Acts) DashboardByCode(ctx context.Context, seat Seat, host, token, code string) (DashboardEntry, error) {
	u, err := a.dashboardToken(ctx, strings.TrimSpace(host), strings.TrimSpace(token))
	if err != nil {
		return DashboardEntry{}, err
	}
	return a.enterDashboard(ctx, seat, u, operator.ByApp, func(q *controldb.Queries, now time.Time) error {
		return operator.UseCode(ctx, q, a.Keys, now, u.Ref, code)
	})
}

// dashboardToken is whose token it is. Errors: [auth.ErrOperator].
func (a *Acts) dashboardToken(ctx context.Context, host, token string) (DashboardUser, error) {
	if host == "" {
		who, err := auth.Deployment(ctx, a.DB, "Bearer "+token, a.moment())
		if err != nil {
			return DashboardUser{}, err
		}
		u, err := a.deploymentUser(ctx, who)
		if errors.Is(err, operator.ErrNotIn) {
			err = auth.ErrOperator
		}
		return u, err
	}
	t, err := a.Tenants.Get(ctx, host)
	if errors.Is(err, tenant.ErrNotFound) || errors.Is(err, tenant.ErrBadHostname) || err == nil && t.Usable() != nil || !auth.IsOperatorToken("Bearer "+token) {
		return DashboardUser{}, auth.ErrOperator
	}
	if err != nil {
		return DashboardUser{}, err
	}
	who, err := a.Sessions.Operator(ctx, t, "Bearer "+token)
	if err != nil {
		return DashboardUser{}, err
	}
	return tenantUser(t, who), nil
}

// DashboardAsk is what a browser is given to come in by a passkey. It stores nothing. Errors: [passkey.ErrHost].
func (a *Acts) DashboardAsk(ctx context.Context, seat Seat) ([]byte, error) {
	mac, err := a.dashboardMAC(ctx)
	if err != nil {
		return nil, err
	}
	return passkey.Ask(seat.Party, mac, a.moment(), passkey.Bound{For: passkey.ToSignIn, Browser: seat.Mark}, nil)
}

func (a *Acts) dashboardMAC(ctx context.Context) (*keyring.MAC, error) {
	return operator.Questions(ctx, a.DB.Control(), a.Keys, a.moment())
}

// DashboardByPasskey lets the operator in whose passkey has answered to [Acts.DashboardAsk]: the key asked for a finger, a
// face or a PIN, so that it is two factors. Errors: [passkey.ErrRefused], [passkey.ErrExpired], [passkey.ErrCloned],
// [passkey.ErrHost], [operator.ErrAnswered].
func (a *Acts) DashboardByPasskey(ctx context.Context, seat Seat, answer []byte) (DashboardEntry, error) {
	read, err := passkey.Read(answer)
	if err != nil {
		return DashboardEntry{}, err
	}
	mac, err := a.dashboardMAC(ctx)
	if err != nil {
		return DashboardEntry{}, err
	}
	var who operator.Ref
	now := a.moment()
	err = a.DB.ControlTx(ctx, func(q *controldb.Queries) (err error) {
		who, err = operator.UsePasskey(ctx, q, mac, now, seat.Party, passkey.Bound{For: passkey.ToSignIn, Browser: seat.Mark}, read)
		return err
	})
	if who == "" {
		return DashboardEntry{}, err
	}
	u, gone := a.DashboardUser(ctx, who)
	if gone != nil {
		return DashboardEntry{}, errors.Join(passkey.ErrRefused, gone)
	}
	return a.enterDashboard(ctx, seat, u, operator.ByPasskey, func(*controldb.Queries, time.Time) error { return err })
}

// DashboardByLink lets an operator in by a link, to set up a second factor and nothing else. Errors: [operator.ErrLink].
func (a *Acts) DashboardByLink(ctx context.Context, seat Seat, code string) (DashboardEntry, error) {
	var who operator.Ref
	now := a.moment()
	err := a.DB.ControlTx(ctx, func(q *controldb.Queries) (err error) {
		who, err = operator.UseLink(ctx, q, now, strings.ToLower(strings.TrimSpace(code)))
		return err
	})
	if err != nil {
		return DashboardEntry{}, err
	}
	u, err := a.DashboardUser(ctx, who)
	if errors.Is(err, operator.ErrNotIn) {
		return DashboardEntry{}, operator.ErrLink
	}
	if err != nil {
		return DashboardEntry{}, err
	}
	return a.enterDashboard(ctx, seat, u, operator.ByLink, func(*controldb.Queries, time.Time) error { return nil })
}

// enterDashboard signs an operator in once proof says so, and writes down either.
func (a *Acts) enterDashboard(ctx context.Context, seat Seat, u DashboardUser, way string, proof func(*controldb.Queries, time.Time) error) (e DashboardEntry, err error) {
	e.User = u
	by := u.By(seat.Address, seat.RequestID)
	err = a.onDashboard(ctx, by, u, actDashboardEnter, map[string]any{"way": way}, func(q *controldb.Queries, now time.Time) (err error) {
		if err := proof(q, now); err != nil {
			return err
		}
		e.Secret, e.Session, err = operator.Begin(ctx, q, now, u.Ref, way, seat.Browser)
		return err
	})
	return e, err
}

// LeaveDashboard ends the session that somebody sits in.
func (a *Acts) LeaveDashboard(ctx context.Context, by Operator, u DashboardUser, s operator.Session) error {
	return a.onDashboard(ctx, by, u, actDashboardLeave, nil, func(q *controldb.Queries, _ time.Time) error {
		return operator.End(ctx, q, u.Ref, s.ID())
	})
}

// DashboardFactors are the second factors of an operator.
func (a *Acts) DashboardFactors(ctx context.Context, u DashboardUser) ([]operator.Factor, error) {
	return operator.Factors(ctx, a.DB.Control(), u.Ref)
}

// DashboardAskNew is what a browser is given to make a passkey for an operator. Errors: [passkey.ErrHost].
func (a *Acts) DashboardAskNew(ctx context.Context, seat Seat, u DashboardUser) ([]byte, error) {
	mac, err := a.dashboardMAC(ctx)
	if err != nil {
		return nil, err
	}
	have, err := a.DashboardFactors(ctx, u)
	if err != nil {
		return nil, err
	}
	return passkey.AskNew(seat.Party, mac, a.moment(), seat.toRegister(u), operator.Person(u.Ref, u.Label, have))
}

func (s Seat) toRegister(u DashboardUser) passkey.Bound {
	return passkey.Bound{For: passkey.ToRegister, Browser: s.Mark + "\x00" + string(u.Ref)}
}

// DashboardAddPasskey keeps a passkey that a browser has made for what [Acts.DashboardAskNew] gave it. An operator who came
// by a link is signed in by that. Errors: [passkey.ErrRefused], [passkey.ErrExpired], [passkey.ErrHost],
// [passkey.ErrName], [operator.ErrManyFactors], [operator.ErrAnswered].
func (a *Acts) DashboardAddPasskey(ctx context.Context, seat Seat, u DashboardUser, s operator.Session, name string, answer []byte) (DashboardEntry, error) {
	mac, err := a.dashboardMAC(ctx)
	if err != nil {
		return DashboardEntry{}, err
	}
	made, err := passkey.Made(seat.Party, mac, a.moment(), seat.toRegister(u), operator.Person(u.Ref, u.Label, nil), answer)
	if err != nil {
		return DashboardEntry{}, err
	}
	return a.addFactor(ctx, seat, u, s, operator.ByPasskey, func(q *controldb.Queries, now time.Time) error {
		return operator.AddPasskey(ctx, q, now, u.Ref, name, made)
	})
}

// DashboardAddApp keeps an app that shows codes, by a code of it. An operator who came by a link is signed in by that.
// Errors: [operator.ErrCode], [operator.ErrManyFactors], [passkey.ErrName].
func (a *Acts) DashboardAddApp(ctx context.Context, seat Seat, u DashboardUser, s operator.Session, name string, secret []byte, code string) (DashboardEntry, error) {
	return a.addFactor(ctx, seat, u, s, operator.ByApp, func(q *controldb.Queries, now time.Time) error {
		return operator.AddApp(ctx, q, a.Keys, now, u.Ref, name, secret, code)
	})
}

func (a *Acts) addFactor(ctx context.Context, seat Seat, u DashboardUser, s operator.Session, way string, add func(*controldb.Queries, time.Time) error) (e DashboardEntry, err error) {
	e = DashboardEntry{Session: s, User: u}
	err = a.onDashboard(ctx, u.By(seat.Address, seat.RequestID), u, actDashboardAdd, map[string]any{"kind": way}, func(q *controldb.Queries, now time.Time) (err error) {
		if err := add(q, now); err != nil || !s.Setup() {
			return err
		}
		if err := operator.End(ctx, q, u.Ref, s.ID()); err != nil { // what was begun by a link ends with it
			return err
		}
		e.Secret, e.Session, err = operator.Begin(ctx, q, now, u.Ref, way, seat.Browser)
		return err
	})
	return e, err
}

// DashboardRemoveFactor takes a second factor from an operator, who wants it so. Errors: [operator.ErrLastFactor].
func (a *Acts) DashboardRemoveFactor(ctx context.Context, by Operator, u DashboardUser, id []byte) error {
	return a.onDashboard(ctx, by, u, actDashboardRemove, nil, func(q *controldb.Queries, _ time.Time) error {
		return operator.RemoveFactor(ctx, q, u.Ref, id)
	})
}

// ForgetDashboard deletes what of sessions and links has ended, and the second factors of tokens that have expired.
func (a *Acts) ForgetDashboard(ctx context.Context) error {
	return operator.Forget(ctx, a.DB.Control(), a.moment())
}
