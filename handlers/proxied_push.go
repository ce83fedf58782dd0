package handlers

import (
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/xrpc"
)

// pushMethods are for the service that their body names, whatever the header says.
var pushMethods = map[string]bool{
	"app.bsky.notification.registerPush":   true,
	"app.bsky.notification.unregisterPush": true,
}

// push hands a device's registration to the service that sends its notifications: the app view, or the one whose document
// names it.
// spec: lexicon app.bsky.notification.registerPush
func (p *proxied) push(w http.ResponseWriter, a asked) error {
	text, err := readJSON(a)
	if err != nil {
		return err
	}
	var in struct {
		ServiceDID string `json:"serviceDid"`
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return xrpc.Invalid("Input must be a JSON object")
	}
	if err := mayCall(a.account, in.ServiceDID+"#"+tenant.ServicePush, a.nsid); err != nil {
		return err
	}
	target, ok := p.proxy.AppView(a.Tenant)
	if !ok || target.DID != in.ServiceDID {
		if !identity.IsService(in.ServiceDID) {
			return xrpc.Invalid("invalid notification service did: %.200s", in.ServiceDID)
		}
		wish, err := p.proxy.Wish(a.Tenant, a.nsid, in.ServiceDID+"#"+tenant.ServicePush)
		if err != nil {
			return err
		}
		if target, err = p.proxy.Find(a.req.Context(), a.caller.Asks, wish); err != nil {
			return xrpc.Invalid("could not find the service %s#%s", in.ServiceDID, tenant.ServicePush)
		}
	}
	a.target = target
	call := a.call()
	call.Header = http.Header{"Content-Type": {"application/json"}}
	call.Query, call.Bare = "", false
	call.Body, call.Length = proxy.Text(text), int64(len(text))
	answer, err := p.proxy.Do(a.req.Context(), call)
	if err != nil {
		return ofCall(err)
	}
	_ = answer.Body.Close()
	w.WriteHeader(http.StatusOK) // the method has no answer
	return nil
}

// readJSON reads the body of a method that is answered here before it is handed on, and holds it against its lexicon.
func readJSON(a asked) ([]byte, error) {
	r := a.req
	if r.Method != http.MethodPost {
		return nil, xrpc.Invalid("Incorrect HTTP method (%s) expected POST", r.Method)
	}
	switch given := r.Header.Get("Content-Type"); {
	case r.ContentLength == 0:
		return nil, xrpc.Invalid("A request body is expected but none was provided")
	case given == "":
		return nil, xrpc.Invalid("Request encoding (Content-Type) required but not provided")
	case !isJSON(given):
		return nil, xrpc.Invalid("Wrong request encoding (Content-Type): %.100s", given)
	}
	a.BodyWithin(pushBodyTime)
	text, err := proxy.Decoded(r.Body, r.Header.Values("Content-Encoding"), maxPushBody)
	switch {
	case errors.Is(err, proxy.ErrTooLarge):
		return nil, xrpc.Refuse(http.StatusRequestEntityTooLarge, "PayloadTooLargeError", "request entity too large")
	case errors.Is(err, proxy.ErrEncoding):
		return nil, xrpc.Invalid("the request body cannot be decoded")
	case err != nil:
		return nil, ofBody(r, &proxy.BodyError{Err: err})
	}
	if err := lexicon.Default().Method(a.nsid).CheckBody(text); err != nil {
		return nil, xrpc.Invalid("%s", bodyMessage(err))
	}
	return text, nil
}

// What the body of such a method may be.
const (
	maxPushBody  = 150 << 10
	pushBodyTime = 30 * time.Second
)

func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && t == "application/json"
}

func bodyMessage(err error) string {
	if said, ok := lexicon.Violation(err); ok {
		return said
	}
	return "Input must be JSON"
}

// checkQuery holds parameters against a lexicon.
func checkQuery(nsid, query string) error {
	if _, err := lexicon.Default().Method(nsid).CheckParams(query); err != nil {
		said, _ := lexicon.Violation(err)
		return xrpc.Invalid("%s", said)
	}
	return nil
}
