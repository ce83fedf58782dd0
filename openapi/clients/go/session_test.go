package locusclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Which token goes out, and what comes back when it is refused.
func TestSessionsAndErrors(t *testing.T) {
	var authorization string
	status, body := 200, "{}"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	defer srv.Close()
	ctx := context.Background()
	var s Session
	c, err := NewClientWithResponses(srv.URL, WithSession(&s))
	if err != nil {
		t.Fatal(err)
	}
	call := func(editors ...RequestEditorFn) error {
		r, err := c.ComAtprotoServerGetSessionWithResponse(ctx, editors...)
		return Check(r, err)
	}
	want := func(err error, header string) {
		t.Helper()
		if err != nil || authorization != header {
			t.Errorf("%v, sent %q, want %q", err, authorization, header)
		}
	}
	want(call(), "")
	s.Set("access", "refresh")
	want(call(), "Bearer access")
	r, err := c.ComAtprotoServerRefreshSessionWithResponse(ctx)
	want(Check(r, err), "Bearer refresh")
	d, err := c.ComAtprotoServerDeleteSessionWithResponse(ctx)
	want(Check(d, err), "Bearer refresh")
	s.Set("", "")
	want(call(AsOperator("secret")), "Basic YWRtaW46c2VjcmV0")

	for _, c := range []struct {
		status int
		body   string
		want   XRPCError
	}{
		{400, `{"error":"ExpiredToken","message":"Token has expired"}`, XRPCError{400, "ExpiredToken", "Token has expired"}},
		{502, `<html>`, XRPCError{502, "Unknown", ""}},
		{404, `{"message":"x"}`, XRPCError{404, "Unknown", ""}},
	} {
		status, body = c.status, c.body
		if c.body == "<html>" {
			// The generated reader wants JSON where the header promises it: that is an error of its own.
			if call() == nil {
				t.Error("a broken answer was accepted")
			}
			continue
		}
		var e *XRPCError
		if err := call(); !errors.As(err, &e) || *e != c.want {
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
	}
}
