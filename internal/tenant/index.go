package tenant

import "strings"

// index is everything known at one revision; it is never changed.
type index struct {
	revision int64
	byID     map[int64]*Tenant
	byHost   map[string]*Tenant
	byFormer map[string]*Tenant
	byDomain map[string]*Tenant
}

func newIndex() *index {
	return &index{byID: map[int64]*Tenant{}, byHost: map[string]*Tenant{}, byFormer: map[string]*Tenant{}, byDomain: map[string]*Tenant{}}
}

// name fills in the names of the tenants that are there.
func (ix *index) name() {
	for _, t := range ix.byID {
		ix.byHost[t.Hostname] = t
		for _, f := range t.Former {
			ix.byFormer[f.Hostname] = t
		}
		for _, d := range t.HandleDomains {
			ix.byDomain[d] = t
		}
	}
}

func (ix *index) match(host string) (Match, bool) {
	if t, ok := ix.byHost[host]; ok {
		return Match{Tenant: t, Kind: Canonical}, true
	}
	if t, ok := ix.byFormer[host]; ok {
		return Match{Tenant: t, Kind: FormerHost, Handle: host}, true
	}
	// Labels are taken off from the left, so the longest domain is found first.
	for rest := host; ; {
		_, after, ok := strings.Cut(rest, ".")
		if !ok {
			return Match{}, false
		}
		if t, found := ix.byDomain[after]; found {
			return Match{Tenant: t, Kind: HandleHost, Handle: host}, true
		}
		rest = after
	}
}
