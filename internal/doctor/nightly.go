package doctor

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

const (
	// pollEvery is how often a process asks whether it is the doctor's hour.
	pollEvery = time.Minute
	// lookTime bounds one visit. Then another process may take the turn.
	lookTime = 40 * time.Minute
	claimFor = lookTime + 10*time.Minute
	// firstAfter is when a new deployment is looked at first: names and certificates are there by then.
	firstAfter = 30 * time.Minute
	// againAfter is when there is another visit after one that could not be done or told.
	againAfter = time.Hour
	// mostResults bounds the results that are kept whole; of more only those that found something.
	mostResults  = 2000
	mostFindings = 1000
	tellTime     = 2 * time.Minute
)

// Nightly is the doctor's visit that servers make themselves, once a night, whichever process comes first.
type Nightly struct {
	DB *db.DB
	// Checks are all checks of this night.
	Checks func(ctx context.Context) ([]Check, error)
	// Tell writes to the operator; nil: nobody is written to.
	Tell func(ctx context.Context, subject, text string) error
	// Hour is the hour of the day, in UTC.
	Hour    int
	Address string // of this process, for people
	Now     func() time.Time
	Log     *slog.Logger

	mu     sync.Mutex
	counts Counts
}

// Counts are the numbers of the last visit; Ended is zero if there was none.
type Counts struct {
	Errors, Warnings int
	Ended            time.Time
}

// Counts are as of the last minute, and ask the database nothing.
func (n *Nightly) Counts() Counts {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.counts
}

// Run makes visits until the context ends.
func (n *Nightly) Run(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if _, err := n.Visit(ctx); err != nil && ctx.Err() == nil && !db.IsUnavailable(err) {
			n.Log.Error("the doctor's visit failed; another follows in an hour", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Visit looks, keeps what it found and tells the operator, if it is time and no other process does. done is false if it
// was not its turn.
func (n *Nightly) Visit(ctx context.Context) (done bool, err error) {
	q := n.DB.Control()
	now := n.Now().UTC().Truncate(time.Microsecond)
	if due, err := n.learn(ctx, now); err != nil || due.After(now) {
		return false, err
	}
	held := now.Add(claimFor)
	told, err := q.UpdateDoctorClaim(ctx, controldb.UpdateDoctorClaimParams{HeldUntil: held, Now: now})
	if db.IsNoRows(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	inner, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	results, err := n.look(inner)
	if ctx.Err() != nil {
		n.giveUp(ctx, held, now) // this process ends: another one looks
		return false, ctx.Err()
	}
	if err != nil {
		n.giveUp(ctx, held, n.Now().Add(againAfter))
		return false, err
	}
	errs, warnings := Count(results)
	kept, err := json.Marshal(keep(results))
	if err != nil {
		return false, err
	}
	ended := n.Now().UTC().Truncate(time.Microsecond)
	rows, err := q.UpdateDoctorResult(ctx, controldb.UpdateDoctorResultParams{
		DueAt: n.next(ended), EndedAt: ended, LookedBy: n.Address, Checks: int32(len(results)), Errors: int32(errs), Warnings: int32(warnings),
		Results: kept, HeldUntil: held,
	})
	if err != nil || rows == 0 {
		return false, err
	}
	for _, r := range results {
		for _, f := range r.Findings {
			n.Log.Warn("the doctor found something", "severity", f.Severity, "finding", f.Name, "about", r.Group, "wrong", f.Wrong, "seen", f.Seen, "todo", f.Do)
		}
	}
	if _, err := n.learn(ctx, ended); err != nil {
		return true, err
	}
	return true, n.tell(ctx, results, told)
}

func (n *Nightly) look(ctx context.Context) ([]Result, error) {
	checks, err := n.Checks(ctx)
	if err != nil {
		return nil, err
	}
	return Examine(ctx, checks, CheckTime, nil), nil
}

// learn reads when it is time and the numbers of the last visit, and writes when the first is where nobody did.
func (n *Nightly) learn(ctx context.Context, now time.Time) (due time.Time, err error) {
	row, err := n.DB.Control().GetDoctorCounts(ctx)
	if db.IsNoRows(err) {
		due = now.Add(firstAfter)
		_, err = n.DB.Control().InsertDoctor(ctx, controldb.InsertDoctorParams{DueAt: due, HeldUntil: now})
		return due, err
	}
	if err != nil || row.EndedAt == nil {
		return row.DueAt, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counts = Counts{int(row.Errors), int(row.Warnings), *row.EndedAt}
	return row.DueAt, nil
}

// giveUp gives the turn back.
func (n *Nightly) giveUp(ctx context.Context, held, due time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = n.DB.Control().UpdateDoctorGivenUp(ctx, controldb.UpdateDoctorGivenUpParams{DueAt: due.UTC(), HeldUntil: held}) // else the claim ends
}

// next is the next time that it is the hour.
func (n *Nightly) next(after time.Time) time.Time {
	day := after.UTC().Truncate(24 * time.Hour).Add(time.Duration(n.Hour) * time.Hour)
	for !day.After(after.Add(time.Hour)) { // one that was asked for in the evening is enough for the night
		day = day.Add(24 * time.Hour)
	}
	return day
}

// tell writes to the operator if what was found is not what was told last, or something does not work. What could not be
// sent is tried again an hour later, with another visit.
func (n *Nightly) tell(ctx context.Context, results []Result, told string) error {
	found := fingerprint(results)
	errs, warnings := Count(results)
	if n.Tell == nil || errs == 0 && found == told {
		return nil
	}
	subject, text := Letter(results)
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	if err := n.Tell(ctx, subject, text); err != nil {
		n.Log.Error("the doctor cannot write to the operator; it tries again in an hour", "errors", errs, "warnings", warnings, "err", err)
		keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_, failed := n.DB.Control().UpdateDoctorTellError(keep, controldb.UpdateDoctorTellErrorParams{TellError: err.Error(), DueAt: n.Now().Add(againAfter).UTC()})
		return failed
	}
	now := n.Now().UTC()
	_, err := n.DB.Control().UpdateDoctorTold(ctx, controldb.UpdateDoctorToldParams{Told: found, ToldAt: &now})
	return err
}

// fingerprint names what was found, whatever the figures in it; "": nothing.
func fingerprint(results []Result) string {
	var names []string
	for _, r := range results {
		for _, f := range r.Findings {
			names = append(names, r.Group+" "+r.Name+" "+f.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(names), "\n")))
	return hex.EncodeToString(sum[:])
}

// keep is what of the results is kept: all, or of very many those that found something.
func keep(results []Result) []Result {
	if len(results) > mostResults {
		results = slices.DeleteFunc(slices.Clone(results), func(r Result) bool { return len(r.Findings) == 0 })
	}
	out, n := []Result{}, 0
	for _, r := range results {
		if n += len(r.Findings); n > mostFindings {
			break
		}
		out = append(out, r)
	}
	return out
}

// mostTold bounds the findings of one letter.
const mostTold = 50

// Letter is what the operator is written: errors first.
func Letter(results []Result) (subject, text string) {
	errs, warnings := Count(results)
	if errs+warnings == 0 {
		return "Locus: nothing is wrong any more", "What was told before is no more. 'locus doctor --last' shows what was looked at.\n"
	}
	type found struct {
		group string
		Finding
	}
	var all []found
	for _, r := range results {
		for _, f := range r.Findings {
			all = append(all, found{r.Group, f})
		}
	}
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(a.Severity, b.Severity) }) // "error" before "warning"
	var w strings.Builder
	for i, f := range all {
		if i == mostTold {
			fmt.Fprintf(&w, "%d more: 'locus doctor --last' shows all.\n\n", len(all)-i)
			break
		}
		fmt.Fprintf(&w, "%s: %s: %s (%s)\n  seen:  %s\n  to do: %s\n\n", f.Severity, f.group, f.Wrong, f.Name, f.Seen, f.Do)
	}
	w.WriteString("'locus doctor --last' shows this again, 'locus doctor' looks anew.\n")
	return fmt.Sprintf("Locus: %d errors, %d warnings", errs, warnings), w.String()
}
