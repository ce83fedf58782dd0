// Package doctor looks at a deployment as others see it, and says what is wrong, how one sees it, and what to do. It
// changes nothing.
//
// A check is a value. What a check cannot find out it says as a finding: silence would read as health.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // something does not work now
	Warning Severity = "warning" // it works, and will not for long, or only in part
)

// Finding is one thing that is wrong.
type Finding struct {
	Severity Severity `json:"severity"`
	Name     string   `json:"name"`  // stable, for programs
	Wrong    string   `json:"wrong"` // what is wrong
	Seen     string   `json:"seen"`  // how one sees it
	Do       string   `json:"do"`    // what to do
}

// Check looks at one thing.
type Check struct {
	Group string // deployment, or a hostname
	Name  string
	About string // what it looks at
	Look  func(ctx context.Context) []Finding
}

// Result is what a check found. Nothing found is health, unless it was not looked at.
type Result struct {
	Group    string    `json:"group"`
	Name     string    `json:"name"`
	About    string    `json:"about"`
	Findings []Finding `json:"findings"`
	// NotLookedAt is why the thing, or some of it, could not be looked at; "": all of it was.
	NotLookedAt string `json:"notLookedAt,omitempty"`
}

// unseen marks what is no finding: the reason why there is none.
const unseen Severity = "not looked at"

// notLooked is what a check answers that could not look. It is not for what is wrong: that is a finding.
func notLooked(why string, args ...any) []Finding {
	return []Finding{{Severity: unseen, Seen: fmt.Sprintf(why, args...)}}
}

const (
	// CheckTime bounds each check.
	CheckTime = 8 * time.Second
	// atOnce bounds the checks that run beside each other.
	atOnce = 8
)

// Examine runs the checks and gives the results in their order. done hears after each one; nil: nobody does.
func Examine(ctx context.Context, checks []Check, limit time.Duration, done func(done, total int)) []Result {
	results := make([]Result, len(checks))
	places := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	var mu sync.Mutex
	n := 0
	for i, c := range checks {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			results[i] = Result{Group: c.Group, Name: c.Name, About: c.About}
			results[i].Findings, results[i].NotLookedAt = examine(ctx, c, limit)
			mu.Lock()
			defer mu.Unlock()
			n++
			if done != nil {
				done(n, len(checks))
			}
		})
	}
	all.Wait()
	return results
}

func examine(ctx context.Context, c Check, limit time.Duration) (found []Finding, notLookedAt string) {
	inner, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found = []Finding{}
	var reasons []string
	for _, f := range c.Look(inner) {
		if f.Severity == unseen {
			reasons = append(reasons, f.Seen)
		} else {
			found = append(found, f)
		}
	}
	if len(found) == 0 && errors.Is(inner.Err(), context.DeadlineExceeded) {
		found = []Finding{{Error, c.Name + "-slow", "the check did not end in time", "no answer within " + limit.String(), "try again; if it stays so, look at the network and at the load"}}
	}
	return found, strings.Join(reasons, "; ")
}

// Worst is the worst severity among the findings; "" for none.
func Worst(results []Result) Severity {
	var worst Severity
	for _, r := range results {
		if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == Error }) {
			return Error
		}
		if len(r.Findings) > 0 {
			worst = Warning
		}
	}
	return worst
}

func one(s Severity, name, wrong, seen, do string) []Finding {
	return []Finding{{s, name, wrong, seen, do}}
}
