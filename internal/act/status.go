package act

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/syntax"
	"github.com/auroralocus/locus/internal/tenant"
)

const actStatus = "com.atproto.admin.updateSubjectStatus"

// maxTakedownRef bounds the reference, in bytes.
const maxTakedownRef = 1000

// Mark is a takedown or a deactivation as it is asked for. The audit log has it in this form.
type Mark struct {
	Applied bool   `json:"applied"`
	Ref     string `json:"ref,omitempty"`
}

func (m *Mark) check() error {
	if m != nil && (len(m.Ref) > maxTakedownRef || strings.IndexByte(m.Ref, 0) >= 0) {
		return ErrTakedownRef
	}
	return nil
}

// takedown is the decision. Without a reference its moment is one.
func (m *Mark) takedown(now time.Time) accounts.Takedown {
	t := accounts.Takedown{Applied: m.Applied, Ref: m.Ref}
	if t.Applied && t.Ref == "" {
		t.Ref = now.UTC().Format(time.RFC3339)
	}
	return t
}

// SetAccountStatus takes an account down or brings it back, and deactivates or activates it; nil leaves that as it is.
// Activating an account whose sign-up waits approves it. Subscribers hear of the account also when nothing changed.
// Errors: [accounts.ErrNotFound], [ErrGone], [ErrContradiction], [ErrTakedownRef], those of [Acts.Approve].
func (a *Acts) SetAccountStatus(ctx context.Context, t *tenant.Tenant, by Operator, did string, takedown, deactivated *Mark) error {
	if takedown != nil && deactivated != nil && takedown.Applied != deactivated.Applied {
		return ErrContradiction
	}
	if err := takedown.check(); err != nil {
		return err
	}
	q := a.DB.Tenant(t.Schema).Q()
	state, err := accounts.StateOf(ctx, q, did)
	if err != nil {
		return err
	}
	if deactivated != nil && !deactivated.Applied {
		err := accounts.NotAwaiting(ctx, q, state.AID)
		if errors.Is(err, accounts.ErrAwaiting) {
			if takedown != nil { // lifted, or it would stand in the way
				if err := a.SetAccountStatus(ctx, t, by, did, takedown, nil); err != nil {
					return err
				}
			}
			return a.Approve(ctx, t, by, did)
		}
		if err != nil {
			return err
		}
	}
	now := a.Now()
	detail := map[string]any{"takedown": takedown, "deactivated": deactivated}
	err = a.change(ctx, t, by, actStatus, deed{did, detail}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		var events []firehose.Event
		if takedown != nil {
			e, err := accounts.TakeDown(ctx, q, now, state.AID, takedown.takedown(now))
			if err != nil {
				return nil, err
			}
			events = e
		}
		if deactivated == nil {
			if takedown == nil { // an operator who asks for nothing has it said again
				return accounts.SayStatus(ctx, q, now, state.AID)
			}
			return events, nil
		}
		// What came last is what is so: the event of a takedown before says less.
		if deactivated.Applied {
			return accounts.Deactivate(ctx, q, now, state.AID, nil)
		}
		if err := accounts.NotAwaiting(ctx, q, state.AID); err != nil {
			return nil, err
		}
		e, err := accounts.Activate(ctx, q, now, state.AID)
		return e, Gone(err) // so it is called when the account is taken down
	})
	a.Actors.Forget(t.Schema, did)
	return err
}

// SetRecordStatus takes a record down or brings it back; nil changes nothing and is written down.
// Errors: [ErrRecordURI], [ErrTakedownRef], [accounts.ErrNotFound], [accounts.ErrSubjectNotFound].
func (a *Acts) SetRecordStatus(ctx context.Context, t *tenant.Tenant, by Operator, uri string, takedown *Mark) error {
	if err := takedown.check(); err != nil {
		return err
	}
	did, path, err := RecordSubject(uri)
	if err != nil {
		return err
	}
	state, err := accounts.StateOf(ctx, a.DB.Tenant(t.Schema).Q(), did)
	if err != nil {
		return err
	}
	defer a.DB.Changed(t.Schema, 0) // replicas may still show it
	return a.change(ctx, t, by, actStatus, deed{uri, map[string]any{"takedown": takedown}}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if takedown == nil {
			return nil, nil
		}
		return nil, accounts.TakeDownRecord(ctx, q, state.AID, path, takedown.takedown(a.Now()))
	})
}

// SetBlobStatus takes a blob of an account down or brings it back; nil changes nothing and is written down.
// Errors: [ErrBlobCID], [ErrTakedownRef], [accounts.ErrNotFound], [accounts.ErrSubjectNotFound].
func (a *Acts) SetBlobStatus(ctx context.Context, t *tenant.Tenant, by Operator, did, id string, takedown *Mark) error {
	if err := takedown.check(); err != nil {
		return err
	}
	state, err := accounts.StateOf(ctx, a.DB.Tenant(t.Schema).Q(), did)
	if err != nil {
		return err
	}
	raw, err := BlobCID(id)
	if err != nil {
		return err
	}
	defer a.DB.Changed(t.Schema, 0) // replicas may still name it
	err = a.change(ctx, t, by, actStatus, deed{did + "/" + id, map[string]any{"takedown": takedown}}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if takedown == nil {
			return nil, nil
		}
		now := a.Now()
		var ref *string
		if d := takedown.takedown(now); d.Applied {
			ref = &d.Ref
		}
		found, err := blob.SetTakedown(ctx, q, now, state.AID, raw, ref)
		if err == nil && !found {
			err = accounts.ErrSubjectNotFound
		}
		return nil, err
	})
	if err == nil && takedown != nil {
		a.Blobs.MoveQuarantined(ctx, t.Schema)
	}
	return err
}

// RecordSubject takes an at:// URI of one record apart. Errors: [ErrRecordURI].
func RecordSubject(uri string) (did, path string, err error) {
	did, collection, rkey, ok := syntax.SplitAtURI(uri)
	if !ok || rkey == "" || !syntax.DID.Is(did) {
		return "", "", ErrRecordURI
	}
	return did, collection + "/" + rkey, nil
}

// BlobCID reads a blob's CID. Errors: [ErrBlobCID].
func BlobCID(text string) (cid.Cid, error) {
	c, err := cid.Decode(text)
	if err != nil {
		return cid.Undef, ErrBlobCID
	}
	return c, nil
}

// Gone is what an account's disappearance during a call is called: [ErrGone] instead of [accounts.ErrNotFound].
func Gone(err error) error {
	if errors.Is(err, accounts.ErrNotFound) {
		return ErrGone
	}
	return err
}
