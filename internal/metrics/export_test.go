package metrics

import "time"

// At sets the clock by which the busiest are found.
func (m *Metrics) At(now func() time.Time) { m.tenants.now = now }
