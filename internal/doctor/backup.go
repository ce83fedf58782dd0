package doctor

import (
	"context"
	"fmt"
	"time"
)

// ProvedFor is how long it counts that something was restored on trial.
const ProvedFor = 92 * 24 * time.Hour

// Proofs are what is known of whether the deployment could be restored. Times are zero for never.
type Proofs struct {
	Tenants, Never, Stale, Failing int64
	Database                       time.Time // a copy of the database was last opened with a copy of the key
	DatabaseProblem                string    // what was wrong at the last trial, if it failed
	KeyCopy                        time.Time // a copy of the master key last opened what it had sealed
}

// restorable says what nobody has tried to restore.
func (d Deployment) restorable(ctx context.Context) (found []Finding) {
	p, err := d.Proofs(ctx)
	if err != nil {
		return one(Error, "restorable", "what was proved restorable cannot be read", err.Error(), "look at the database; 'locus migrate' brings it up to date")
	}
	now := d.Now()
	age := func(at time.Time) string {
		if at.IsZero() {
			return "never"
		}
		return fmt.Sprintf("last %d days ago", int(now.Sub(at).Hours()/24))
	}
	if p.DatabaseProblem != "" {
		found = append(found, Finding{Error, "restore-database-fails", "a copy of the database could not be restored", p.DatabaseProblem, "repair how copies are made, and try again: docs/backup.md"})
	}
	if p.Failing > 0 {
		found = append(found, Finding{Error, "restore-fails", "backups of tenants could not be restored", fmt.Sprintf("the last trial failed for %d of %d tenants", p.Failing, p.Tenants), "make them anew, and try again: 'locus backup drill'"})
	}
	if now.Sub(p.KeyCopy) > ProvedFor {
		found = append(found, Finding{Warning, "key-copy", "nobody knows whether there is a good copy of the master key: without one a backup of the database is worth nothing", "a copy was proved " + age(p.KeyCopy), "keep one apart from the database, and prove it: docs/backup.md"})
	}
	if now.Sub(p.Database) > ProvedFor && p.Never+p.Stale > 0 {
		found = append(found, Finding{Warning, "restore-stale", "nobody knows whether the backups can be restored",
			fmt.Sprintf("of %d tenants %d were never restored on trial, and %d not for three months; the whole database %s", p.Tenants, p.Never, p.Stale, age(p.Database)), "restore on trial, regularly: docs/backup.md"})
	}
	return found
}
