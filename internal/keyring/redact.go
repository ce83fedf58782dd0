package keyring

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "redacted"

// hidden is embedded in every type of this package that reaches a key. Its methods have value receivers, so that copies
// and dereferenced pointers are covered as well; Format covers the verbs (%x, %d, %#v …) that would otherwise walk the
// fields.
//
// fmt calls no methods on the unexported fields of a struct around such a value and may follow a pointer there (a wrong
// verb does), so keys are held behind functions: those print as an address.
type hidden struct{}

func (hidden) String() string                 { return redacted }
func (hidden) GoString() string               { return redacted }
func (hidden) Format(f fmt.State, _ rune)     { _, _ = io.WriteString(f, redacted) }
func (hidden) LogValue() slog.Value           { return slog.StringValue(redacted) }
func (hidden) MarshalText() ([]byte, error)   { return []byte(redacted), nil }
func (hidden) MarshalJSON() ([]byte, error)   { return []byte(`"` + redacted + `"`), nil }
func (hidden) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }
