package act

import (
	"bytes"
	"context"
	"fmt"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/tenant"
)

// statePage is how many accounts are compared at a time.
const statePage = 1000

// states reads accounts in the order of their numbers.
type states struct {
	q    *tenantdb.Queries
	page []tenantdb.ListActorStatesRow
	last int64
	end  bool
}

// next is the account that is not taken yet, or nil.
func (s *states) next(ctx context.Context) (*tenantdb.ListActorStatesRow, error) {
	if len(s.page) == 0 && !s.end {
		page, err := s.q.ListActorStates(ctx, tenantdb.ListActorStatesParams{After: s.last, MaxRows: statePage})
		if err != nil {
			return nil, fmt.Errorf("list accounts: %w", err)
		}
		s.page, s.end = page, len(page) < statePage
		if len(page) > 0 {
			s.last = page[len(page)-1].AID
		}
	}
	if len(s.page) == 0 {
		return nil, nil
	}
	return &s.page[0], nil
}

func (s *states) take() { s.page = s.page[1:] }

// finish tells consumers anew of each account that is not what it was in the replaced schema, and drops that. It is nothing
// where there is none.
func (a *Archives) finish(ctx context.Context, t *tenant.Tenant, was db.Schema, out *Restored, progress archive.Progress) error {
	before := &states{q: a.db.Tenant(was).Q()}
	if _, err := before.next(ctx); err != nil {
		if db.IsUndefined(err) {
			return nil
		}
		return err
	}
	now := &states{q: a.db.Tenant(t.Schema).Q()}
	head, err := now.q.GetStreamState(ctx, 0)
	if err != nil {
		return fmt.Errorf("stream of %s: %w", t.Hostname, err)
	}
	tell := a.teller(t.Schema, head.JumpedTo)
	for n := int64(0); ; n++ {
		who, err := differing(ctx, before, now)
		if err != nil {
			return err
		}
		if who == nil {
			break
		}
		if err := a.tell(ctx, tell, *who, out); err != nil {
			return err
		}
		progress("telling consumers of accounts", out.Told, 0)
	}
	return a.db.DropTenantSchema(ctx, was)
}

// differing is the next account that is not in both states alike, or nil.
func differing(ctx context.Context, before, now *states) (*firehose.LostActor, error) {
	for {
		was, err := before.next(ctx)
		if err != nil {
			return nil, err
		}
		is, err := now.next(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case was == nil && is == nil:
			return nil, nil
		case is == nil || was != nil && was.AID < is.AID: // made since
			who := &firehose.LostActor{AID: was.AID, DID: was.DID, Rev: was.HeadRev}
			unheard := was.Unheard
			if before.take(); unheard {
				continue
			}
			return who, nil
		case was == nil || is.AID < was.AID: // deleted since
			who := &firehose.LostActor{AID: is.AID, DID: is.DID}
			now.take()
			return who, nil
		}
		who, alike := &firehose.LostActor{AID: was.AID, DID: was.DID, Rev: was.HeadRev}, alike(was, is)
		before.take()
		now.take()
		if !alike {
			return who, nil
		}
	}
}

func alike(a, b *tenantdb.ListActorStatesRow) bool {
	return a.DID == b.DID && a.Handle == b.Handle && a.Deactivated == b.Deactivated && a.Takendown == b.Takendown && a.Unheard == b.Unheard &&
		a.HeadRev == b.HeadRev && bytes.Equal(a.HeadCID, b.HeadCID)
}

// tellAll tells consumers of every account anew: nobody knows what they know.
func (a *Archives) tellAll(ctx context.Context, s db.Schema, behind int64, out *Restored, progress archive.Progress) error {
	all, tell := &states{q: a.db.Tenant(s).Q()}, a.teller(s, behind)
	for {
		who, err := all.next(ctx)
		if err != nil || who == nil {
			return err
		}
		lost := firehose.LostActor{AID: who.AID, DID: who.DID, Rev: who.HeadRev}
		unheard := who.Unheard
		all.take()
		if unheard {
			continue
		}
		if err := a.tell(ctx, tell, lost, out); err != nil {
			return err
		}
		progress("telling consumers of accounts", out.Told, 0)
	}
}

func (a *Archives) teller(s db.Schema, behind int64) teller {
	return teller{a.store.Keys, a.now, s, behind}
}

func (a *Archives) tell(ctx context.Context, t teller, who firehose.LostActor, out *Restored) error {
	told, err := a.hub.Publish(ctx, a.db.Tenant(t.schema), func(q *tenantdb.Queries) ([]firehose.Event, error) {
		events, _, err := t.anew(ctx, q, who)
		return events, err
	})
	if err != nil {
		return fmt.Errorf("tell of %s anew: %w", who.DID, err)
	}
	if told > 0 {
		out.Told++
	}
	return nil
}
