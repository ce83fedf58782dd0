package db

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/auroralocus/locus/schema"
)

// Schema names one tenant's Postgres schema. Its zero value names none and is refused everywhere.
type Schema struct{ name string }

var (
	// ErrNoSchema refuses tenant SQL for the zero Schema.
	ErrNoSchema = errors.New("db: no tenant schema named")
	// ErrBadSchema refuses what cannot be a tenant's schema.
	ErrBadSchema = errors.New("db: not the name of a tenant schema")
	// ErrUnscoped refuses tenant SQL that does not name the token schema: it could only touch what is not a tenant's.
	ErrUnscoped = errors.New("db: tenant SQL without " + schema.Token)
)

var schemaName = regexp.MustCompile(`^t_[a-z0-9_]{1,50}$`)

// ParseSchema checks a name from control.tenant: it is going to be part of SQL text, unquoted.
func ParseSchema(name string) (Schema, error) {
	if !schemaName.MatchString(name) {
		return Schema{}, fmt.Errorf("%w: %q", ErrBadSchema, name)
	}
	return Schema{name: name}, nil
}

// String is the schema's name, "" for the zero Schema.
func (s Schema) String() string { return s.name }

// IsZero tells whether s names nothing.
func (s Schema) IsZero() bool { return s.name == "" }
