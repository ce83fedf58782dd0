package tenant

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
)

// ErrHandlesExist: names cannot change hands while accounts have handles under them. The text says how many, and where.
var ErrHandlesExist = errors.New("accounts have handles there")

// Who has a name decides what a handle under it means. A name that changes hands while accounts have handles under it
// would give two accounts one handle, one at each tenant. So a name cannot change hands then: whoever gives one away,
// or takes one, looks for handles first. Giving away is exact, however many processes serve the tenant: the tenant's
// guard, which everybody who sets a handle holds, refuses the name before the look, and goes on refusing it afterwards.

// anyLabel stands for whatever handle under a domain.
const anyLabel = "whoever-answers-here."

// cession is names that change hands, as one tenant sees it.
type cession struct {
	names   []string // that no handle may be
	domains []string // that no handle may be under
}

func (c cession) empty() bool { return len(c.names) == 0 && len(c.domains) == 0 }

// all is what the tenant's guard has to refuse.
func (c cession) all() []string { return slices.Concat(c.names, c.domains) }

// handOver prepares a change of a tenant's names (nil: a tenant that is being made). It refuses while accounts have
// handles that would lead elsewhere afterwards. done is called once the names are changed, undo if they were not.
// Errors: [ErrHandlesExist], [ErrHostnameTaken].
func (r *Registry) handOver(ctx context.Context, t *Tenant, names map[string]int16) (done, undo func(context.Context) error, err error) {
	if err := r.Refresh(ctx); err != nil {
		return nil, nil, err
	}
	ix := r.current.Load()
	taken, given := exchanged(t, names)
	guarded := map[*Tenant][]string{}
	undo = func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		var failed []error
		for of, names := range guarded {
			failed = append(failed, r.free(ctx, of, names))
		}
		return errors.Join(failed...)
	}
	refuse := func(of *Tenant, c cession, guard bool) error {
		n, err := r.cede(ctx, of, c, guard)
		switch {
		case err != nil:
			return err
		case n > 0 && of != t && of.has(c.all()) != "": // giving its accounts other handles would not help
			if name := of.has(c.all()); name != of.Hostname {
				return fmt.Errorf("%w: %s is a name of %s", ErrHostnameTaken, name, of.Hostname)
			}
			return fmt.Errorf("%w: there is a tenant %s already", ErrHostnameTaken, of.Hostname)
		case n > 0:
			return fmt.Errorf("%w: %d of %s, under %s: give them other handles first (locus account list %s)", ErrHandlesExist, n, of.Hostname, strings.Join(slices.Compact(slices.Sorted(slices.Values(c.all()))), ", "), of.Hostname)
		case guard:
			guarded[of] = c.all()
		}
		return nil
	}
	if !given.empty() && hasHandles(t) {
		err = refuse(t, given, true)
	}
	var answers map[int64]bool
	if err == nil {
		answers, err = r.concerned(ctx, ix, taken)
	}
	for _, id := range slices.Sorted(maps.Keys(answers)) {
		if other := ix.byID[id]; err == nil && other != nil && hasHandles(other) && !(t != nil && t.ID == id) {
			err = refuse(other, taken, answers[id])
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, undo(ctx))
	}
	done = func(ctx context.Context) error {
		now, err := r.Get(ctx, hostnameOf(t, names))
		if err != nil {
			return err
		}
		// The tenant may use the names that it has now. A name that it gave up may lie under another tenant's domain,
		// which may use it again.
		if err := r.free(ctx, now, taken.all()); err != nil {
			return err
		}
		for _, name := range given.domains {
			if m, ok := r.current.Load().match(anyLabel + name); ok {
				if err := r.free(ctx, m.Tenant, []string{name}); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return done, undo, nil
}

// exchanged is what a tenant (nil: one that is being made) takes and gives up when these are its names.
func exchanged(t *Tenant, names map[string]int16) (taken, given cession) {
	had := map[string]int16{}
	if t != nil {
		had[t.Hostname] = nameHost
		for _, f := range t.Former {
			had[f.Hostname] |= nameFormer
		}
		for _, d := range t.HandleDomains {
			had[d] |= nameHandle
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if fresh := names[name] &^ had[name]; fresh&nameHandle != 0 {
			taken.names, taken.domains = append(taken.names, name), append(taken.domains, name)
		} else if fresh&nameHost != 0 {
			taken.names = append(taken.names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(had)) {
		if had[name]&nameHandle != 0 && names[name]&nameHandle == 0 {
			given.domains = append(given.domains, name)
			if names[name] == 0 {
				given.names = append(given.names, name)
			}
		}
	}
	return taken, given
}

// has is one of the names, if it is one of the tenant's own; "" if none is.
func (t *Tenant) has(names []string) string {
	for _, name := range names {
		if name == t.Hostname || slices.Contains(t.HandleDomains, name) || slices.ContainsFunc(t.Former, func(f Former) bool { return f.Hostname == name }) {
			return name
		}
	}
	return ""
}

func hostnameOf(t *Tenant, names map[string]int16) string {
	if t != nil {
		return t.Hostname
	}
	for name, kind := range names {
		if kind&nameHost != 0 {
			return name
		}
	}
	return ""
}

// errHandles takes the guard's change back.
var errHandles = errors.New("there are handles")

// cede has a tenant's guard refuse the names, if guard says so, and counts the handles there. With any the guard stays
// as it was.
func (r *Registry) cede(ctx context.Context, t *Tenant, c cession, guard bool) (n int64, err error) {
	err = r.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if guard {
			if err := q.UpdateHandleGuardLost(ctx, c.all()); err != nil {
				return err
			}
		}
		if n, err = q.CountHandlesUnder(ctx, tenantdb.CountHandlesUnderParams{Names: notNil(c.names), Domains: notNil(c.domains)}); err != nil {
			return err
		}
		if n > 0 {
			return errHandles
		}
		return nil
	})
	if err != nil && !errors.Is(err, errHandles) {
		return 0, fmt.Errorf("look for handles of %s: %w", t.Hostname, err)
	}
	return n, nil
}

func (r *Registry) free(ctx context.Context, t *Tenant, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if err := r.db.Tenant(t.Schema).Q().UpdateHandleGuardFreed(ctx, names); err != nil {
		return fmt.Errorf("names of %s: %w", t.Hostname, err)
	}
	return nil
}

func notNil(list []string) []string { return append([]string{}, list...) }

// Answers is the tenant that answers for a handle's name now, nil when none of the deployment does.
func (r *Registry) Answers(ctx context.Context, handle string) (*Tenant, error) {
	ix, err := r.loaded(ctx)
	if err != nil {
		return nil, err
	}
	if m, ok := ix.match(handle); ok {
		return m.Tenant, nil
	}
	return nil, nil
}
