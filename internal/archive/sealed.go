package archive

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

// place is a column with something sealed in it. Archives of older programs have the tables of their time, so a place that
// a migration takes away stays in the list.
type place struct {
	table, column string
	// binds names what the value is bound to; false: this row has nothing sealed there.
	binds func(r row, schema string) (keyring.Binding, bool)
}

// kinds of rows in tenant_item and account_item.
const (
	itemSecret, itemMail, itemMailDone, itemStore, itemTrash, itemReserved = 1, 5, 6, 11, 12, 14
	accountItemTOTP                                                        = 1
)

var places = []place{
	{"secret", "sealed", func(r row, schema string) (keyring.Binding, bool) {
		return secretBinding(r.text("purpose"), schema), true
	}},
	{"signing_key", "sealed", func(r row, schema string) (keyring.Binding, bool) {
		return keyring.SigningKeyBinding(schema, r.int("aid")), true
	}},
	{"account", "key_sealed", func(r row, schema string) (keyring.Binding, bool) {
		return keyring.SigningKeyBinding(schema, r.int("aid")), true
	}},
	{"reserved_key", "sealed", func(_ row, schema string) (keyring.Binding, bool) { return keyring.SigningKeyBinding(schema, 0), true }},
	{"totp", "sealed", func(r row, schema string) (keyring.Binding, bool) { return owned(schema, r.int("aid"), "totp"), true }},
	{"account_item", "secret", func(r row, schema string) (keyring.Binding, bool) {
		return FactorBinding(schema, r.int("aid")), r.int("kind") == accountItemTOTP
	}},
	{"blob_store", "sealed", func(r row, schema string) (keyring.Binding, bool) {
		return owned(schema, r.int("store"), "blob-store"), true
	}},
	{"tenant_item", "secret", func(r row, schema string) (keyring.Binding, bool) {
		return TenantItemBinding(schema, r.int("kind"), r.text("key"), r.int("number"))
	}},
}

// FactorBinding is what the secret of an account's one-time codes is bound to.
func FactorBinding(schema string, aid int64) keyring.Binding { return owned(schema, aid, "totp") }

// TenantItemBinding is what a secret of the tenant's is bound to, by its item's kind, key and number; false: items of the
// kind have nothing sealed, or nothing that is restored.
func TenantItemBinding(schema string, kind int64, key string, number int64) (keyring.Binding, bool) {
	switch kind {
	case itemSecret:
		return secretBinding(key, schema), true
	case itemStore:
		return owned(schema, number, "blob-store"), true
	case itemReserved:
		return keyring.SigningKeyBinding(schema, 0), true
	}
	return keyring.Binding{}, false
}

func owned(schema string, owner int64, purpose string) keyring.Binding {
	return keyring.Binding{Schema: schema, Owner: strconv.FormatInt(owner, 10), Purpose: purpose}
}

func secretBinding(name, schema string) keyring.Binding {
	purpose := tenant.PurposeOf(name)
	switch purpose {
	case tenant.SecretJWT, tenant.SecretDPoP, tenant.SecretCredentials:
		return keyring.MACBinding(schema, purpose)
	case tenant.SecretPLCRotation:
		return keyring.RotationKeyBinding(schema)
	}
	return keyring.Binding{Schema: schema, Purpose: purpose}
}

// resealer puts what is sealed in rows under this deployment's master key, for another schema.
type resealer struct {
	keys    *keyring.Keyring
	carried *keyring.Carried // nil: sealed under our own master key
	was, is string           // schemas
}

// looks tells whether rows of a table have to be looked into.
func looks(table string) bool {
	return table == "mail" || table == "blob_trash" || table == "chore" || slices.ContainsFunc(places, func(p place) bool { return p.table == table })
}

// left are the rows that are not loaded: mail that waited when the archive was made was sent meanwhile, or is late, and
// nobody gets it twice; objects that waited to be deleted may be another tenant's now.
func left(table string, r row) bool {
	switch table {
	case "mail", "blob_trash":
		return true
	case "chore": // the hold of the backup itself
		return r.text("name") == "files held"
	case "tenant_item":
		kind := r.int("kind")
		return kind == itemMail || kind == itemMailDone || kind == itemTrash
	}
	return false
}

// change is for eachRow.
func (s *resealer) change(table string) func(row) (bool, error) {
	return func(r row) (bool, error) {
		if left(table, r) {
			return false, nil
		}
		for _, p := range places {
			if p.table != table || len(r[p.column]) == 0 {
				continue
			}
			was, ok := p.binds(r, s.was)
			if !ok {
				continue
			}
			is, _ := p.binds(r, s.is)
			sealed, err := s.keys.Rebind(s.carried, was, is, r[p.column])
			if errors.Is(err, keyring.ErrUnknownMaster) || errors.Is(err, keyring.ErrSealed) {
				return false, fmt.Errorf("%w: %s: %w", ErrSealed, table, err)
			}
			if err != nil {
				return false, fmt.Errorf("%s: %w", table, err)
			}
			r[p.column] = sealed
		}
		return true, nil
	}
}
