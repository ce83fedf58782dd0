package handlers

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/bluesky-social/indigo/atproto/syntax"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/firehose"
)

// updateSubjectStatus takes an account, a record or a blob down, or brings it back, and (accounts) deactivates or
// activates; activating an account whose sign-up waits approves it. Subscribers hear of accounts only, also when nothing changed.
// spec: lexicon com.atproto.admin.updateSubjectStatus
func (m adminMethods) updateSubjectStatus(ctx context.Context, c operatorCaller, in *adminUpdateSubjectStatusInput) (*adminUpdateSubjectStatusOutput, error) {
	b := &in.Body
	if b.Takedown != nil && b.Deactivated != nil && b.Takedown.Applied != b.Deactivated.Applied {
		return nil, invalid("takedown and deactivated contradict each other: one hides, the other shows")
	}
	var err error
	switch s := &b.Subject; {
	case s.RepoRef != nil:
		err = m.setAccountStatus(ctx, c, string(s.RepoRef.DID), b.Takedown, b.Deactivated)
	case b.Deactivated != nil:
		err = invalid("only an account can be deactivated")
	case s.RepoStrongRef != nil:
		err = m.setRecordStatus(ctx, c, string(s.RepoStrongRef.URI), b.Takedown)
	case s.RepoBlobRef != nil:
		err = m.setBlobStatus(ctx, c, string(s.RepoBlobRef.DID), string(s.RepoBlobRef.CID), b.Takedown)
	default:
		err = invalid("Invalid subject")
	}
	if err != nil {
		return nil, err
	}
	return &adminUpdateSubjectStatusOutput{Body: adminUpdateSubjectStatusOutputBody{Subject: b.Subject, Takedown: b.Takedown}}, nil
}

// decision is a takedown as it was asked for. Without a reference its moment is one.
func decision(s *adminDefsStatusAttr, now time.Time) accounts.Takedown {
	t := accounts.Takedown{Applied: s.Applied, Ref: s.Ref}
	if t.Applied && t.Ref == "" {
		t.Ref = now.UTC().Format(time.RFC3339)
	}
	return t
}

// maxTakedownRef bounds the reference, in bytes.
const maxTakedownRef = 1000

func checkStatus(s *adminDefsStatusAttr) error {
	if s != nil && (len(s.Ref) > maxTakedownRef || strings.IndexByte(s.Ref, 0) >= 0) {
		return invalid("takedown/ref must be text of at most %d bytes", maxTakedownRef)
	}
	return nil
}

func (m adminMethods) setAccountStatus(ctx context.Context, c operatorCaller, did string, takedown, deactivated *adminDefsStatusAttr) error {
	if err := checkStatus(takedown); err != nil {
		return err
	}
	state, err := accounts.StateOf(ctx, m.db.Tenant(c.Tenant.Schema).Q(), did)
	if err != nil {
		return noAccount(err)
	}
	if deactivated != nil && !deactivated.Applied {
		err := accounts.NotAwaiting(ctx, m.db.Tenant(c.Tenant.Schema).Q(), state.AID)
		if errors.Is(err, accounts.ErrAwaiting) {
			if takedown != nil { // lifted, or it would stand in the way
				if err := m.setAccountStatus(ctx, c, did, takedown, nil); err != nil {
					return err
				}
			}
			who, err := m.account(ctx, c, did)
			if err != nil {
				return err
			}
			return m.approve(ctx, c, who)
		}
		if err != nil {
			return err
		}
	}
	now := m.now()
	err = m.act(ctx, c, did, map[string]any{"takedown": takedown, "deactivated": deactivated}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		var events []firehose.Event
		if takedown != nil {
			e, err := accounts.TakeDown(ctx, q, now, state.AID, decision(takedown, now))
			if err != nil {
				return nil, noAccount(err)
			}
			events = e
		}
		if deactivated == nil {
			if takedown == nil { // an operator who asks for nothing has it said again
				e, err := accounts.SayStatus(ctx, q, now, state.AID)
				return e, noAccount(err)
			}
			return events, nil
		}
		// What came last is what is so: the event of a takedown before says less.
		if deactivated.Applied {
			e, err := accounts.Deactivate(ctx, q, now, state.AID, nil)
			return e, noAccount(err)
		}
		if err := accounts.NotAwaiting(ctx, q, state.AID); err != nil {
			return nil, err
		}
		e, err := accounts.Activate(ctx, q, now, state.AID)
		return e, goneAccount(err) // so it is called when the account is taken down
	})
	m.actors.Forget(c.Tenant.Schema, did)
	return err
}

func (m adminMethods) setRecordStatus(ctx context.Context, c operatorCaller, uri string, takedown *adminDefsStatusAttr) error {
	if err := checkStatus(takedown); err != nil {
		return err
	}
	did, path, err := recordSubject(uri)
	if err != nil {
		return err
	}
	state, err := accounts.StateOf(ctx, m.db.Tenant(c.Tenant.Schema).Q(), did)
	if err != nil {
		return noSubject(err)
	}
	err = m.act(ctx, c, uri, map[string]any{"takedown": takedown}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if takedown == nil {
			return nil, nil
		}
		return nil, accounts.TakeDownRecord(ctx, q, state.AID, path, decision(takedown, m.now()))
	})
	return noSubject(err)
}

func (m adminMethods) setBlobStatus(ctx context.Context, c operatorCaller, did, id string, takedown *adminDefsStatusAttr) error {
	if err := checkStatus(takedown); err != nil {
		return err
	}
	state, err := accounts.StateOf(ctx, m.db.Tenant(c.Tenant.Schema).Q(), did)
	if err != nil {
		return noSubject(err)
	}
	raw, err := blobCID(id)
	if err != nil {
		return err
	}
	err = m.act(ctx, c, did+"/"+id, map[string]any{"takedown": takedown}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if takedown == nil {
			return nil, nil
		}
		now := m.now()
		var ref *string
		if d := decision(takedown, now); d.Applied {
			ref = &d.Ref
		}
		found, err := blob.SetTakedown(ctx, q, now, state.AID, raw, ref)
		if err == nil && !found {
			err = accounts.ErrSubjectNotFound
		}
		return nil, err
	})
	if err == nil && takedown != nil {
		m.blobs.MoveQuarantined(ctx, c.Tenant.Schema)
	}
	return noSubject(err)
}

// recordSubject takes an at:// URI of one record apart. Its authority must be the DID: a handle may be another's
// tomorrow.
func recordSubject(uri string) (did, path string, err error) {
	u, err := syntax.ParseATURI(uri)
	if err != nil || u.RecordKey() == "" || !u.Authority().IsDID() {
		return "", "", invalid("subject must be the at:// URI of a record, with a DID")
	}
	return u.Authority().String(), u.Collection().String() + "/" + u.RecordKey().String(), nil
}

// noSubject is the answer for a subject that is not here.
func noSubject(err error) error {
	if errors.Is(err, accounts.ErrNotFound) || errors.Is(err, accounts.ErrSubjectNotFound) {
		return refuse(http.StatusBadRequest, "NotFound", "Subject not found")
	}
	return err
}
