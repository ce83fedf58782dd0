package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/did-method-plc/go-didplc"
)

// Directory is a PLC directory: the remote one of [NewPLCClient], or the
// built-in one of identity/plcdir.
type Directory interface {
	// Resolve returns the DID's document.
	// Errors: ErrDIDSyntax, ErrDIDNotFound, ErrDIDTombstoned, ErrDIDUnavailable.
	Resolve(ctx context.Context, did string) (*Document, error)
	// Last returns the newest operation that counts, a tombstone included.
	// Errors: ErrDIDSyntax, ErrDIDNotFound, ErrDIDUnavailable.
	Last(ctx context.Context, did string) (didplc.Operation, error)
	// Submit offers a signed operation. It is idempotent: one that is already
	// the newest is accepted again.
	// Errors: ErrOperation, ErrOperationConflict, ErrOperationRate, and
	// ErrDIDUnavailable when nothing is known about what happened.
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

// NewPLCClient makes a client for the directory at url (https://plc.directory).
// The operator chooses the url, but it gets no more than c allows.
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
	b, status, err := Fetch(ctx, p.http, p.url+"/"+did+path, accept, maxPLCAnswer)
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
	return nil, fmt.Errorf("%s: %w: %w", did, ErrDIDUnavailable, err)
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
		return fmt.Errorf("submit PLC operation of %s: %w: %w", did, ErrDIDUnavailable, err)
	}
	answer, err := ReadBody(resp, maxPLCAnswer)
	if resp.StatusCode == http.StatusOK {
		return nil // accepted, whatever became of the body
	}
	if err != nil {
		return fmt.Errorf("submit PLC operation of %s: %w: %w", did, ErrDIDUnavailable, err)
	}
	return p.refusal(ctx, did, op, resp.StatusCode, answer)
}

// refusal turns the directory's answer into an error. An operation that is
// already there (an answer got lost, and it was sent again) is no error.
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
