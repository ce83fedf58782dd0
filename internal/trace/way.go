package trace

import (
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/propagation"
)

// Way is a way out of the process whose calls are written down.
type Way struct {
	Below http.RoundTripper
	// Service names who is called: one of few names, never what a stranger chose.
	Service func(*http.Request) string
	// HandOn tells the service which trace the call belongs to.
	HandOn bool
}

// RoundTrip implements http.RoundTripper. The span ends with the head of the answer.
func (w Way) RoundTrip(r *http.Request) (*http.Response, error) {
	if !On(r.Context()) {
		return w.Below.RoundTrip(r)
	}
	service := w.Service(r)
	ctx, span := Start(r.Context(), "call "+service, Call)
	defer span.End()
	span.Text("http.request.method", r.Method)
	span.Text("server.address", service)
	r = r.WithContext(ctx)
	if w.HandOn {
		r.Header = r.Header.Clone() // it is the caller's
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(r.Header))
	}
	resp, err := w.Below.RoundTrip(r)
	if err != nil {
		span.Failed("no answer")
		return resp, err
	}
	span.Number("http.response.status_code", int64(resp.StatusCode))
	if resp.StatusCode >= http.StatusInternalServerError {
		span.Failed(strconv.Itoa(resp.StatusCode))
	}
	return resp, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport.
func (w Way) CloseIdleConnections() {
	if t, ok := w.Below.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
