package act_test

import (
	"errors"
	"testing"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/operator"
)

// Whoever gets the name of an operator who was removed gets nothing of its way into the dashboard, and the one who had it
// comes in no more: neither by a second factor, nor by a session, nor by a link.
func TestOperatorsNameAgain(t *testing.T) {
	t.Parallel()
	m := newMortal(t)
	l, ctx, now := m.process(), t.Context(), m.now()
	q := m.parts.DB.Control()
	conn := dial(t, m.url)
	defer closed(t, conn)
	who := operator.OfTenant(m.tenant.ID, "carla")
	add := func() (token string) {
		t.Helper()
		made, err := l.AddOperator(ctx, m.tenant, act.Operator{}, "carla", auth.RoleModerator, act.NewToken{})
		if err != nil {
			t.Fatal(err)
		}
		return made.Secret
	}
	// enters gives carla all that lets her in.
	enters := func() (session, link string) {
		t.Helper()
		link, _, err := operator.NewLink(ctx, q, now, who, "a test")
		if err != nil {
			t.Fatal(err)
		}
		secret := []byte("0123456789abcdefghij")
		if err := operator.AddApp(ctx, q, m.keys, now, who, "app", secret, account.TOTP(secret, now)); err != nil {
			t.Fatal(err)
		}
		if session, _, err = operator.Begin(ctx, q, now, who, operator.ByApp, operator.Browser{}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.DashboardSee(ctx, session); err != nil {
			t.Fatal(err)
		}
		return session, link
	}
	nothing := func(when, session, link string) {
		t.Helper()
		if left, err := operator.Factors(ctx, q, who); err != nil || len(left) != 0 {
			t.Errorf("%s: %d second factors, %v", when, len(left), err)
		}
		if _, _, err := l.DashboardSee(ctx, session); !errors.Is(err, operator.ErrNotIn) {
			t.Errorf("%s: a session: %v", when, err)
		}
		if _, err := l.DashboardByLink(ctx, act.Seat{}, link); !errors.Is(err, operator.ErrLink) {
			t.Errorf("%s: a link: %v", when, err)
		}
	}
	add()
	session, link := enters()
	if err := l.RemoveOperator(ctx, m.tenant, act.Operator{}, "carla"); err != nil {
		t.Fatal(err)
	}
	nothing("removed", session, link)
	add()
	nothing("another", session, link)

	// What is there without an operator, as an older program left it, is not the next one's either.
	if err := l.RemoveOperator(ctx, m.tenant, act.Operator{}, "carla"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "INSERT INTO control.operator_factor (who, factor_id, kind, name, counter, created_at) VALUES ($1, 'x', 2, 'old', 0, now())", string(who)); err != nil {
		t.Fatal(err)
	}
	add()
	nothing("left by an older program", session, link)

	// Adding who is there already takes nothing away.
	enters()
	if _, err := l.AddOperator(ctx, m.tenant, act.Operator{}, "carla", auth.RoleOwner, act.NewToken{}); !errors.Is(err, auth.ErrOperatorTaken) {
		t.Error(err)
	}
	if left, err := operator.Factors(ctx, q, who); err != nil || len(left) != 1 {
		t.Errorf("%d second factors, %v", len(left), err)
	}
}
