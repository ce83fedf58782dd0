package locusclient

import (
	"encoding/json"
	"fmt"
)

// An XRPCError is an answer other than 2xx. spec: xrpc#error-responses
type XRPCError struct {
	Status  int
	Name    string // for programs; "Unknown" when the answer has another form
	Message string // for people
}

func (e *XRPCError) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Name, e.Message) }

// Is makes errors.Is compare an answer with a name: errors.Is(err, ErrRecordNotFound).
func (e *XRPCError) Is(target error) bool {
	name, ok := target.(ErrorName)
	return ok && string(name) == e.Name
}

// An ErrorName is the name of an error, for errors.Is. The names of this server are constants; a service that calls are
// handed on to may have others: errors.Is(err, ErrorName("BlockedActor")).
type ErrorName string

func (n ErrorName) Error() string { return string(n) }

// An Answer is any of the generated …Response types.
type Answer interface {
	StatusCode() int
	GetBody() []byte
}

// Check returns err if there is one, an *XRPCError for an answer other than 2xx, and nil for a good one.
func Check(a Answer, err error) error {
	if err != nil {
		return err
	}
	if s := a.StatusCode(); s >= 200 && s < 300 {
		return nil
	}
	return errorOf(a.StatusCode(), a.GetBody())
}

func errorOf(status int, body []byte) *XRPCError {
	e := &XRPCError{Status: status, Name: "Unknown"}
	var b Error
	if json.Unmarshal(body, &b) == nil && b.Error != "" {
		e.Name, e.Message = b.Error, b.Message
	}
	return e
}
