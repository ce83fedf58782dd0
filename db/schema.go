package db

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/auroralocus/locus/schema"
)

// Schema names one tenant's Postgres schema and the node that it lies on. Its zero value names none and is refused
// everywhere.
type Schema struct {
	name string
	node int32 // 0: [HomeNode]
}

var (
	// ErrNoSchema refuses tenant SQL for the zero Schema.
	ErrNoSchema = errors.New("db: no tenant schema named")
	// ErrBadSchema refuses what cannot be a tenant's schema.
	ErrBadSchema = errors.New("db: not the name of a tenant schema")
	// ErrUnscoped refuses tenant SQL that does not name the token schema: it could only touch what is not a tenant's.
	ErrUnscoped = errors.New("db: tenant SQL without " + schema.Token)
)

var schemaName = regexp.MustCompile(`^t_[a-z0-9_]{1,50}$`)

// ParseSchema checks a name from control.tenant: it is going to be part of SQL text, unquoted. The schema is on HomeNode:
// see [Schema.On].
func ParseSchema(name string) (Schema, error) {
	if !schemaName.MatchString(name) {
		return Schema{}, fmt.Errorf("%w: %q", ErrBadSchema, name)
	}
	return Schema{name: name}, nil
}

// On is the schema of that name on another node.
func (s Schema) On(node int32) Schema {
	if node == HomeNode {
		node = 0 // so that one schema has one value
	}
	return Schema{s.name, node}
}

// Node is the database that the schema lies in.
func (s Schema) Node() int32 {
	if s.node == 0 {
		return HomeNode
	}
	return s.node
}

// String is the schema's name, "" for the zero Schema.
func (s Schema) String() string { return s.name }

// IsZero tells whether s names nothing.
func (s Schema) IsZero() bool { return s.name == "" }
