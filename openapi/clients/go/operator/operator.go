// Package locusoperator is a Go client of the operator API of an Aurora Locus deployment, which creates, configures, watches
// and bills its tenants.
//
//	api, err := locusoperator.New("http://127.0.0.1:2584", token)
//	made, err := api.CreateTenantWithResponse(ctx, nil, locusoperator.CreateTenantInputBody{Hostname: "pds.example.com"})
//	if err := locusoperator.Check(made, err); err != nil { … }
//
// Every operation has a generated function with typed parameters (client.gen.go). A refused call is an [*Error], by whose
// Code programs go. Give each POST an Idempotency-Key with [Once], and repeat it safely.
package locusoperator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

//go:generate bash ../../../../internal/gen/clients.sh

// New is a client of the API at an origin, with a token of the deployment.
func New(origin, token string, options ...ClientOption) (*ClientWithResponses, error) {
	return NewClientWithResponses(origin, append([]ClientOption{WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	})}, options...)...)
}

// Once names a request: repeated under the same name within a day it is done once, and answered the same.
func Once(key string) RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Idempotency-Key", key)
		return nil
	}
}

// Error is an answer other than 2xx. spec: RFC 9457
type Error struct{ Problem }

func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Detail) }

// IsCode tells whether an error is an answer with this code: "name_taken", "bad_setting".
func IsCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// An Answer is any of the generated …Response types.
type Answer interface {
	StatusCode() int
	GetBody() []byte
}

// Check returns err if there is one, an *Error for an answer other than 2xx, and nil for a good one.
func Check(a Answer, err error) error {
	if err != nil {
		return err
	}
	if s := a.StatusCode(); s >= 200 && s < 300 {
		return nil
	}
	e := &Error{}
	if json.Unmarshal(a.GetBody(), &e.Problem) != nil || e.Code == "" {
		e.Problem = Problem{Status: int64(a.StatusCode()), Code: "unknown", Detail: "the answer has another form"}
	}
	return e
}
