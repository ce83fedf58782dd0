package tenant

// Stats is how many tenants this process knows, by state. It asks the database nothing.
func (r *Registry) Stats() map[string]int {
	out := map[string]int{}
	for _, s := range []State{Provisioning, Active, Moving, Suspended, Deleting, Purging, TooNew, Behind} {
		out[s.String()] = 0
	}
	ix := r.current.Load()
	if ix == nil {
		return out
	}
	for _, t := range ix.byID {
		if t.behind {
			out[Behind.String()]++
		} else {
			out[t.State.String()]++
		}
	}
	return out
}
