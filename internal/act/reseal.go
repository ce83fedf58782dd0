package act

import (
	"context"
	"errors"
	"fmt"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/certs"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/operator"
)

// resealPage is how many values are put under another master key at a time: one short statement, so that whoever wants
// one of the rows waits for milliseconds.
const resealPage = 100

// itemMail is the kind of a tenant's items that are mail which waits.
const itemMail = 5

// sealedItems are the kinds of a tenant's items that have something sealed.
var sealedItems = []int16{1, itemMail, 11, 14}

// sealedKeys counts what is sealed under each master key.
type sealedKeys map[int]int64

func (s sealedKeys) add(more sealedKeys) {
	for id, n := range more {
		s[id] += n
	}
}

// sealedOf counts what a tenant has sealed. A tenant whose schema is not there yet, or not any more, has nothing.
func sealedOf(ctx context.Context, d *db.DB, s db.Schema) (sealedKeys, error) {
	rows, err := d.Tenant(s).Q().ListSealedKeys(ctx)
	if db.IsUndefined(err) {
		return sealedKeys{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("count what is sealed in %s: %w", s, err)
	}
	out := sealedKeys{}
	for _, r := range rows {
		out[int(r.KeyID)] = r.N
	}
	return out, nil
}

// sealedOfControl counts the same of the control schema.
func sealedOfControl(ctx context.Context, d *db.DB) (sealedKeys, error) {
	rows, err := d.Control().ListSealedKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("count what is sealed in control: %w", err)
	}
	out := sealedKeys{}
	for _, r := range rows {
		out[int(r.KeyID)] = r.N
	}
	return out, nil
}

// value is something sealed, and what it is bound to.
type value struct {
	binds  keyring.Binding
	sealed []byte
	at     string // which one it is, for people
}

// resealer puts values under the master key that seals, or only looks at them: each page is handed to use, which gives
// what they are to become.
type resealer struct {
	db    *db.DB
	not   int32 // values under this master key are passed over; 0: none
	use   func(page []value) ([][]byte, error)
	told  func(n int64) // after each page
	total int64
}

// reseal makes a resealer. Values that do not open are left, and stuck hears of them.
func reseal(d *db.DB, keys *keyring.Keyring, stuck func(value, error), told func(int64)) *resealer {
	return &resealer{db: d, not: int32(keys.Current()), told: told, use: func(page []value) ([][]byte, error) {
		out := make([][]byte, len(page))
		for i, v := range page {
			sealed, _, err := keys.Reseal(v.binds, v.sealed)
			switch {
			case errors.Is(err, keyring.ErrSealed), errors.Is(err, keyring.ErrUnknownMaster):
				stuck(v, err)
				out[i] = v.sealed // as it is
			case err != nil:
				return nil, err
			default:
				out[i] = sealed
			}
		}
		return out, nil
	}}
}

// lookThrough makes one that opens everything with the keys given, changes nothing, and tells of what does not open.
func lookThrough(d *db.DB, keys *keyring.Keyring, stuck func(value, error), told func(int64)) *resealer {
	return &resealer{db: d, told: told, use: func(page []value) ([][]byte, error) {
		for _, v := range page {
			if err := keys.Opens(v.binds, v.sealed); err != nil {
				stuck(v, err)
			}
		}
		return nil, nil
	}}
}

// page has a page of values used, and what they become written.
func (r *resealer) page(page []value, write func(was, is [][]byte) error) error {
	if len(page) == 0 {
		return nil
	}
	is, err := r.use(page)
	if err != nil {
		return err
	}
	if is != nil {
		was := make([][]byte, len(page))
		for i, v := range page {
			was[i] = v.sealed
		}
		if err := write(was, is); err != nil {
			return err
		}
	}
	r.total += int64(len(page))
	r.told(r.total)
	return nil
}

// tenant goes through all that a tenant has sealed.
func (r *resealer) tenant(ctx context.Context, s db.Schema) error {
	err := r.accounts(ctx, s)
	if err == nil {
		err = r.factors(ctx, s)
	}
	for _, kind := range sealedItems {
		if err == nil {
			err = r.items(ctx, s, kind)
		}
	}
	if db.IsUndefined(err) { // it is being made, or it went
		return nil
	}
	if err != nil {
		return fmt.Errorf("reseal %s: %w", s, err)
	}
	return nil
}

// pages has rows used page by page, until list has no whole page more.
func pages[R any](list func() ([]R, error), use func([]R) error) error {
	for {
		rows, err := list()
		if err != nil {
			return err
		}
		if err := use(rows); err != nil || len(rows) < resealPage {
			return err
		}
	}
}

// singly goes through rows of control: of is what is sealed in one.
func singly[R any](r *resealer, list func() ([]R, error), of func(R) value, write func(row R, was, is []byte) (int64, error)) error {
	return pages(list, func(rows []R) error {
		for _, row := range rows {
			err := r.page([]value{of(row)}, func(was, is [][]byte) error {
				_, err := write(row, was[0], is[0])
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *resealer) accounts(ctx context.Context, s db.Schema) error {
	after := int64(-1)
	return pages(func() ([]tenantdb.ListSealedOfAccountsRow, error) {
		return r.db.Tenant(s).Q().ListSealedOfAccounts(ctx, tenantdb.ListSealedOfAccountsParams{After: after, OthersThan: r.not, MaxRows: resealPage})
	}, func(rows []tenantdb.ListSealedOfAccountsRow) error {
		page, aids := make([]value, len(rows)), make([]int64, len(rows))
		for i, row := range rows {
			after, aids[i] = row.AID, row.AID
			page[i] = value{keyring.SigningKeyBinding(s.String(), row.AID), row.Sealed, fmt.Sprintf("%s: signing key of account %d", s, row.AID)}
		}
		return r.page(page, func(was, is [][]byte) error {
			return r.db.Tenant(s).Tx(ctx, func(q *tenantdb.Queries) error {
				_, err := q.UpdateSealedOfAccounts(ctx, tenantdb.UpdateSealedOfAccountsParams{Aids: aids, Was: was, Sealed: is})
				return err
			})
		})
	})
}

func (r *resealer) factors(ctx context.Context, s db.Schema) error {
	after := int64(-1)
	return pages(func() ([]tenantdb.ListSealedOfFactorsRow, error) {
		return r.db.Tenant(s).Q().ListSealedOfFactors(ctx, tenantdb.ListSealedOfFactorsParams{After: after, OthersThan: r.not, MaxRows: resealPage})
	}, func(rows []tenantdb.ListSealedOfFactorsRow) error {
		page, aids := make([]value, len(rows)), make([]int64, len(rows))
		for i, row := range rows {
			after, aids[i] = row.AID, row.AID
			page[i] = value{archive.FactorBinding(s.String(), row.AID), row.Sealed, fmt.Sprintf("%s: one-time codes of account %d", s, row.AID)}
		}
		return r.page(page, func(was, is [][]byte) error {
			return r.db.Tenant(s).Tx(ctx, func(q *tenantdb.Queries) error {
				_, err := q.UpdateSealedOfFactors(ctx, tenantdb.UpdateSealedOfFactorsParams{Aids: aids, Was: was, Sealed: is})
				return err
			})
		})
	})
}

func (r *resealer) items(ctx context.Context, s db.Schema, kind int16) error {
	after := []byte{}
	return pages(func() ([]tenantdb.ListSealedOfTenantRow, error) {
		return r.db.Tenant(s).Q().ListSealedOfTenant(ctx, tenantdb.ListSealedOfTenantParams{Kind: kind, After: after, OthersThan: r.not, MaxRows: resealPage})
	}, func(rows []tenantdb.ListSealedOfTenantRow) error {
		page, keys := make([]value, len(rows)), make([][]byte, len(rows))
		for i, row := range rows {
			after, keys[i] = row.Key, row.Key
			binds, known := archive.TenantItemBinding(s.String(), int64(kind), string(row.Key), row.Number)
			if kind == itemMail {
				binds, known = outbox.Binding(s, string(row.Key)), true
			}
			if !known {
				return fmt.Errorf("nobody knows what items of kind %d are sealed for", kind)
			}
			page[i] = value{binds, row.Sealed, fmt.Sprintf("%s: item of kind %d, %.60q", s, kind, row.Key)}
		}
		return r.page(page, func(was, is [][]byte) error {
			return r.db.Tenant(s).Tx(ctx, func(q *tenantdb.Queries) error {
				_, err := q.UpdateSealedOfTenant(ctx, tenantdb.UpdateSealedOfTenantParams{Kind: kind, Keys: keys, Was: was, Sealed: is})
				return err
			})
		})
	})
}

// control goes through all that is sealed in the control schema.
func (r *resealer) control(ctx context.Context) error {
	for _, part := range []func(context.Context) error{r.certificates, r.answers, r.jobs, r.operators, r.operatorSecrets} {
		if err := part(ctx); err != nil {
			return fmt.Errorf("reseal control: %w", err)
		}
	}
	return nil
}

func (r *resealer) certificates(ctx context.Context) error {
	q := r.db.Control()
	after := ""
	return singly(r, func() ([]controldb.ListSealedTLSItemsRow, error) {
		return q.ListSealedTLSItems(ctx, controldb.ListSealedTLSItemsParams{After: after, OthersThan: r.not, MaxRows: resealPage})
	}, func(row controldb.ListSealedTLSItemsRow) value {
		after = row.Item
		return value{certs.Binding(row.Item), row.Sealed, "control: certificates' " + row.Item}
	}, func(row controldb.ListSealedTLSItemsRow, was, is []byte) (int64, error) {
		return q.UpdateSealedTLSItem(ctx, controldb.UpdateSealedTLSItemParams{Item: row.Item, Was: was, Sealed: is})
	})
}

func (r *resealer) answers(ctx context.Context) error {
	q := r.db.Control()
	caller, key := "", ""
	return singly(r, func() ([]controldb.ListSealedAnswersRow, error) {
		return q.ListSealedAnswers(ctx, controldb.ListSealedAnswersParams{AfterCaller: caller, AfterKey: key, OthersThan: r.not, MaxRows: resealPage})
	}, func(row controldb.ListSealedAnswersRow) value {
		caller, key = row.Caller, row.Key
		return value{AnswerName{Caller: row.Caller, Key: row.Key}.Binding(), row.Sealed, "control: an answer to " + row.Caller}
	}, func(row controldb.ListSealedAnswersRow, was, is []byte) (int64, error) {
		return q.UpdateSealedAnswer(ctx, controldb.UpdateSealedAnswerParams{Caller: row.Caller, Key: row.Key, Was: was, Sealed: is})
	})
}

func (r *resealer) jobs(ctx context.Context) error {
	q := r.db.Control()
	after := ""
	return singly(r, func() ([]controldb.ListSealedOfJobsRow, error) {
		return q.ListSealedOfJobs(ctx, controldb.ListSealedOfJobsParams{After: after, OthersThan: r.not, MaxRows: resealPage})
	}, func(row controldb.ListSealedOfJobsRow) value {
		after = row.JobID
		return value{identityBinding, row.Sealed, "control: the key that job " + row.JobID + " was given"}
	}, func(row controldb.ListSealedOfJobsRow, was, is []byte) (int64, error) {
		return q.UpdateSealedOfJob(ctx, controldb.UpdateSealedOfJobParams{JobID: row.JobID, Was: was, Sealed: is})
	})
}

func (r *resealer) operators(ctx context.Context) error {
	q := r.db.Control()
	who, id := "", []byte{}
	return singly(r, func() ([]controldb.ListSealedOfOperatorsRow, error) {
		return q.ListSealedOfOperators(ctx, controldb.ListSealedOfOperatorsParams{AfterWho: who, AfterID: id, OthersThan: r.not, MaxRows: resealPage})
	}, func(row controldb.ListSealedOfOperatorsRow) value {
		who, id = row.Who, row.FactorID
		return value{operator.Binding(operator.Ref(row.Who)), row.Sealed, "control: the app of operator " + row.Who}
	}, func(row controldb.ListSealedOfOperatorsRow, was, is []byte) (int64, error) {
		return q.UpdateSealedOfOperator(ctx, controldb.UpdateSealedOfOperatorParams{Who: row.Who, FactorID: row.FactorID, Was: was, Sealed: is})
	})
}

func (r *resealer) operatorSecrets(ctx context.Context) error {
	q := r.db.Control()
	after := ""
	return singly(r, func() ([]controldb.ListSealedOperatorSecretsRow, error) {
		return q.ListSealedOperatorSecrets(ctx, controldb.ListSealedOperatorSecretsParams{After: after, OthersThan: r.not, MaxRows: resealPage})
	}, func(row controldb.ListSealedOperatorSecretsRow) value {
		after = row.Purpose
		return value{keyring.MACBinding("control", row.Purpose), row.Sealed, "control: secret " + row.Purpose}
	}, func(row controldb.ListSealedOperatorSecretsRow, was, is []byte) (int64, error) {
		return q.UpdateSealedOperatorSecret(ctx, controldb.UpdateSealedOperatorSecretParams{Purpose: row.Purpose, Was: was, Sealed: is})
	})
}
