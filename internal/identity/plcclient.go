package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/auroralocus/locus/internal/outbound"
	"github.com/did-method-plc/go-didplc"
)

// Directory is a PLC directory: the remote one of [NewPLCClient], or the built-in one of identity/plcdir.
type Directory interface {
	// Resolve returns the DID's document. Errors: ErrDIDSyntax, ErrDIDNotFound, ErrDIDTombstoned, ErrDIDUnavailable.
	Resolve(ctx context.Context, did string) (*Document, error)
	// Last returns the newest operation that counts, a tombstone included. Errors: ErrDIDSyntax, ErrDIDNotFound,
	// ErrDIDUnavailable.
	Last(ctx context.Context, did string) (didplc.Operation, error)
	// Submit offers a signed operation. It is idempotent: one that is already the newest is accepted again. Errors:
	// ErrOperation, ErrOperationConflict, ErrOperationRate, and ErrDIDUnavailable when nothing is known about what
	// happened.
	Submit(ctx context.Context, did string, op didplc.Operation) error
}

// maxPLCAnswer bounds a document, an operation or an error of the directory.
const maxPLCAnswer = 64 << 10

// PLCClient speaks to a PLC directory over HTTP.
type PLCClient struct {
	url  string
	http *http.Client
}

var _ Directory = (*PLCClient)(nil)

// ErrDirectoryURL: that cannot be the URL of a directory.
var ErrDirectoryURL = errors.New("not the URL of a PLC directory, as https://plc.directory")

// ParseDirectoryURL brings an operator's text to the form that is stored and compared: scheme and host in lower case,
// no slash at the end. Errors: [ErrDirectoryURL].
func ParseDirectoryURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("%w: it cannot be read", ErrDirectoryURL) // its text may hold a password
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Errorf("%w: it begins with https:// or http://", ErrDirectoryURL)
	case u.Hostname() == "" || strings.ContainsAny(u.Host, " %"):
		return "", fmt.Errorf("%w: it names no host", ErrDirectoryURL)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", fmt.Errorf("%w: it has no user, query or fragment", ErrDirectoryURL)
	}
	if port := u.Port(); port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	return strings.TrimRight(u.Scheme+"://"+u.Host+u.EscapedPath(), "/"), nil
}

// DialPLC makes a client for the directory at a URL that the operator named: it reaches that origin and no other, also
// at a private address, which no stranger can make the process ask. Errors: [ErrDirectoryURL].
func DialPLC(directory string) (*PLCClient, error) {
	clean, err := ParseDirectoryURL(directory)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(clean)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", ErrDirectoryURL, clean)
	}
	return NewPLCClient(clean, outbound.New(outbound.Policy{Only: u})), nil
}

// Ping asks whether a PLC directory answers there.
func (p *PLCClient) Ping(ctx context.Context) error {
	_, _, err := outbound.Fetch(ctx, p.http, p.url+"/_health", "application/json", maxPLCAnswer)
	return err
}

// Clock asks what time the directory has; the zero time: it does not say.
func (p *PLCClient) Clock(ctx context.Context) (time.Time, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/_health", nil)
	if err != nil {
		return time.Time{}, err
	}
	res, err := p.http.Do(req)
	if err != nil {
		return time.Time{}, err
	}
	if _, err := outbound.ReadBody(res, maxPLCAnswer); err != nil {
		return time.Time{}, err
	}
	if res.StatusCode != http.StatusOK {
		return time.Time{}, fmt.Errorf("%s/_health answers with status %d", p.url, res.StatusCode)
	}
	at, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return time.Time{}, nil
	}
	return at, nil
}

// Through has requests go through what wrap makes of the way that they took before.
func (p *PLCClient) Through(wrap func(http.RoundTripper) http.RoundTripper) {
	c := *p.http
	c.Transport = wrap(c.Transport)
	p.http = &c
}

// Close ends connections that wait for the next request.
func (p *PLCClient) Close() { p.http.CloseIdleConnections() }

// NewPLCClient makes a client for the directory at url (https://plc.directory), which gets no more than c allows.
func NewPLCClient(url string, c *http.Client) *PLCClient {
	return &PLCClient{strings.TrimRight(url, "/"), c}
}

// Resolve implements [Directory].
func (p *PLCClient) Resolve(ctx context.Context, did string) (*Document, error) {
	b, err := p.get(ctx, did, "", "application/did+ld+json")
	if err != nil {
		return nil, err
	}
	return ParseDocument(did, b)
}

// Last implements [Directory].
func (p *PLCClient) Last(ctx context.Context, did string) (didplc.Operation, error) {
	b, err := p.get(ctx, did, "/log/last", "application/json")
	if err != nil {
		return nil, err
	}
	op, err := ParseOperation(b)
	if err != nil {
		return nil, fmt.Errorf("last operation of %s: %w: %w", did, ErrDIDUnavailable, err)
	}
	return op, nil
}

func (p *PLCClient) get(ctx context.Context, did, path, accept string) ([]byte, error) {
	if err := CheckPLC(did); err != nil {
		return nil, err
	}
	b, status, err := outbound.Fetch(ctx, p.http, p.url+"/"+did+path, accept, maxPLCAnswer)
	switch {
	case err == nil:
		return b, nil
	case status == http.StatusNotFound:
		// The directory says 404 for tombstones too; only their log tells them apart.
		if path == "" {
			if op, err := p.Last(ctx, did); err == nil {
				if _, ok := op.(*didplc.TombstoneOp); ok {
					return nil, fmt.Errorf("%s: %w", did, ErrDIDTombstoned)
				}
			}
		}
		return nil, fmt.Errorf("%s: %w", did, ErrDIDNotFound)
	case status == http.StatusGone:
		return nil, fmt.Errorf("%s: %w", did, ErrDIDTombstoned)
	}
	err = fmt.Errorf("%s: %w: %w", did, ErrDIDUnavailable, err)
	if status == http.StatusTooManyRequests {
		err = &busyError{err, outbound.RetryAfter(err)}
	}
	return nil, err
}

// busyError is of a directory that is asked too much by us, whatever the DID.
type busyError struct {
	error
	wait time.Duration
}

func (e *busyError) Unwrap() error { return e.error }

// Busy tells whether the directory said that it is asked too much, by all that this server asks it, and how long it wants
// to be left alone; 0: it did not say. An operation that it answered so was not taken.
func Busy(err error) (wait time.Duration, is bool) {
	var busy *busyError
	if !errors.As(err, &busy) {
		return 0, false
	}
	return busy.wait, true
}

// passingError is of an operation over which the directory failed, or that did not come to it.
type passingError struct{ error }

func (e *passingError) Unwrap() error { return e.error }

// Passes tells whether the directory failed over an operation by itself (a status of 500 or more), or took no connection: a
// moment later it may well take it. It may have taken it already, and then refuses the same one as not following the last.
func Passes(err error) bool {
	var passing *passingError
	return errors.As(err, &passing)
}

// Submit implements [Directory].
func (p *PLCClient) Submit(ctx context.Context, did string, op didplc.Operation) error {
	if err := CheckPLC(did); err != nil {
		return err
	}
	body, err := MarshalOperation(op)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/"+did, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w: malformed directory URL", did, ErrDIDUnavailable)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "aurora-locus")
	resp, err := p.http.Do(req)
	if err != nil {
		lost := fmt.Errorf("submit PLC operation of %s: %w: %w", did, ErrDIDUnavailable, err)
		if errors.Is(err, syscall.ECONNREFUSED) {
			lost = &passingError{lost}
		}
		return lost
	}
	answer, err := outbound.ReadBody(resp, maxPLCAnswer)
	if resp.StatusCode == http.StatusOK {
		return nil // accepted, whatever became of the body
	}
	if err != nil {
		return fmt.Errorf("submit PLC operation of %s: %w: %w", did, ErrDIDUnavailable, err)
	}
	err = p.refusal(ctx, did, op, resp.StatusCode, answer)
	if resp.StatusCode >= http.StatusInternalServerError {
		return &passingError{err}
	}
	if err != nil && resp.StatusCode == http.StatusTooManyRequests {
		err = &busyError{err, outbound.Wanted(resp.Header)}
	}
	return err
}

// refusal turns the directory's answer into an error. An operation that is already there (an answer got lost, and it
// was sent again) is no error.
func (p *PLCClient) refusal(ctx context.Context, did string, op didplc.Operation, status int, answer []byte) error {
	var told struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer, &told) // a front end's HTML has none
	if len(told.Message) > 300 {
		told.Message = told.Message[:300]
	}
	var kind error
	switch {
	case status >= 500, status < 400: // a redirect is a wrong URL, not a judgement
		kind = ErrDIDUnavailable
	case status == http.StatusTooManyRequests, strings.Contains(told.Message, "operations within last"):
		kind = ErrOperationRate
	case status == http.StatusConflict, strings.Contains(told.Message, "not correctly ordered"):
		kind = ErrOperationConflict
	default:
		kind = ErrOperation
	}
	if errors.Is(kind, ErrOperationConflict) || status == http.StatusBadRequest {
		if last, err := p.Last(ctx, did); err == nil && last.CID().Equals(op.CID()) {
			return nil
		}
	}
	return fmt.Errorf("submit PLC operation of %s: %w: status %d: %s", did, kind, status, told.Message)
}
