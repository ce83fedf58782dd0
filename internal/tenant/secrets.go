package tenant

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/keyring"
)

const (
	// secretLead is how long a new secret lies there before it signs: every process reads of it within a second or two,
	// and until then takes nothing for good that was signed with it.
	secretLead = 15 * time.Second
	// MaxReplaced is how many replaced secrets of one purpose may be good at a time. Each is tried for each token.
	MaxReplaced = 4
)

// Errors of secrets that are replaced.
var (
	// ErrReplacing: the newest secret does not sign yet.
	ErrReplacing = errors.New("the secrets were replaced a moment ago")
	// ErrManyReplaced: as many replaced secrets are good as may be.
	ErrManyReplaced = errors.New("too many replaced secrets are still good")
)

// Replaceable is a secret that another can take the place of, without anybody noticing.
type Replaceable struct {
	Purpose string
	Life    time.Duration // of what is signed with it
}

// HeldSecret is one secret of a purpose.
type HeldSecret struct {
	Sealed    []byte
	CreatedAt time.Time
	SignsFrom time.Time // zero: since it was made
	GoodUntil time.Time // zero: it was not replaced
}

// PurposeOf is the purpose of a row of the secret table, by its name: those that were replaced have when behind it.
func PurposeOf(name string) string {
	purpose, _, _ := strings.Cut(name, " ")
	return purpose
}

// SecretsOf are the secrets of a purpose that are good or will be, the newest at the end. None is no error.
func SecretsOf(ctx context.Context, q *tenantdb.Queries, purpose string, now time.Time) ([]HeldSecret, error) {
	rows, err := q.ListSecretsOf(ctx, tenantdb.ListSecretsOfParams{Purpose: purpose, MaxRows: 4 * MaxReplaced})
	if err != nil {
		return nil, err
	}
	var out []HeldSecret
	for _, row := range rows {
		h := HeldSecret{Sealed: row.Sealed, CreatedAt: row.CreatedAt}
		if row.SignsFrom != nil {
			h.SignsFrom = *row.SignsFrom
		}
		if row.GoodUntil != nil {
			if h.GoodUntil = *row.GoodUntil; !h.GoodUntil.After(now) {
				continue
			}
		}
		out = append(out, h)
	}
	return out, nil
}

// ReplaceSecrets makes new secrets of a tenant, which sign from the moment that is returned. What was signed with those before
// is good for its time, or with atOnce until that moment only. Errors: [ErrReplacing], [ErrManyReplaced].
func (r *Registry) ReplaceSecrets(ctx context.Context, hostname string, which []Replaceable, atOnce bool) (from time.Time, err error) {
	t, err := r.usable(ctx, hostname)
	if err != nil {
		return from, err
	}
	err = r.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		now := r.now().UTC().Truncate(time.Microsecond)
		from = now.Add(secretLead)
		for _, one := range which {
			until := from
			if !atOnce {
				until = from.Add(one.Life)
			}
			if err := r.replaceSecret(ctx, q, t.Schema, one.Purpose, now, from, until, atOnce); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return from, fmt.Errorf("secrets of %s: %w", t.Hostname, err)
	}
	// A new revision tells every process to read the secrets again.
	_, err = r.Set(ctx, t.Hostname, nil)
	return from, err
}

func (r *Registry) replaceSecret(ctx context.Context, q *tenantdb.Queries, schema db.Schema, purpose string, now, from, until time.Time, atOnce bool) error {
	had, err := q.LockSecret(ctx, purpose)
	if db.IsNoRows(err) {
		return nil // it is made when it is first needed
	}
	if err != nil {
		return fmt.Errorf("%s: %w", purpose, err)
	}
	if had.SignsFrom != nil && had.SignsFrom.After(now) {
		return ErrReplacing
	}
	good, err := SecretsOf(ctx, q, purpose, now)
	if err != nil {
		return fmt.Errorf("%s: %w", purpose, err)
	}
	if !atOnce && len(good) > MaxReplaced {
		return fmt.Errorf("%w: %s until %s", ErrManyReplaced, purpose, good[0].GoodUntil.UTC().Format(time.RFC3339))
	}
	sealed, err := r.newSecret(schema, purpose)
	if err != nil {
		return err
	}
	if atOnce {
		if _, err := q.UpdateReplacedSecrets(ctx, tenantdb.UpdateReplacedSecretsParams{Purpose: purpose, GoodUntil: until}); err != nil {
			return fmt.Errorf("%s: %w", purpose, err)
		}
	}
	name := purpose + " " + strconv.FormatInt(from.UnixMicro(), 10)
	if _, err := q.InsertReplacedSecret(ctx, tenantdb.InsertReplacedSecretParams{Name: name, GoodUntil: until, Purpose: purpose}); err != nil {
		return fmt.Errorf("keep %s: %w", purpose, err)
	}
	if _, err := q.UpdateSecret(ctx, tenantdb.UpdateSecretParams{Purpose: purpose, Sealed: sealed, CreatedAt: now, SignsFrom: from}); err != nil {
		return fmt.Errorf("replace %s: %w", purpose, err)
	}
	return nil
}

func (r *Registry) newSecret(schema db.Schema, purpose string) ([]byte, error) {
	if purpose == keyring.PurposeOAuth {
		return r.keys.GenerateES256(schema.String())
	}
	return r.keys.GenerateMACKey(schema.String(), purpose)
}
