package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
)

// Last is what the servers' own doctor found when it looked last.
type Last struct {
	BeganAt   time.Time  `json:"beganAt"`
	EndedAt   time.Time  `json:"endedAt"`
	LookedBy  string     `json:"lookedBy"` // host and address of the process
	Checks    int        `json:"checks"`   // how many things were looked at: only those of a small deployment are all kept
	Errors    int        `json:"errors"`
	Warnings  int        `json:"warnings"`
	Results   []Result   `json:"results"`
	NextAt    time.Time  `json:"nextAt"`
	ToldAt    *time.Time `json:"toldAt,omitempty"` // when the operator was last written to
	TellError string     `json:"tellError,omitempty"`
}

// ReadLast reads it. never: no server has looked yet.
func ReadLast(ctx context.Context, d *db.DB) (last Last, never bool, err error) {
	row, err := d.Control().GetDoctor(ctx)
	if db.IsNoRows(err) || err == nil && row.EndedAt == nil {
		return Last{NextAt: row.DueAt}, true, nil
	}
	if err != nil {
		return last, false, fmt.Errorf("read what the doctor found: %w", err)
	}
	last = Last{
		EndedAt: *row.EndedAt, LookedBy: row.LookedBy, Checks: int(row.Checks), Errors: int(row.Errors), Warnings: int(row.Warnings),
		NextAt: row.DueAt, ToldAt: row.ToldAt, TellError: row.TellError,
	}
	if row.BeganAt != nil {
		last.BeganAt = *row.BeganAt
	}
	if err := json.Unmarshal(row.Results, &last.Results); err != nil {
		return last, false, fmt.Errorf("read what the doctor found: %w", err)
	}
	return last, false, nil
}

// Ask has a server look soon: within a minute, if one runs.
func Ask(ctx context.Context, d *db.DB, now time.Time) error {
	_, err := d.Control().UpdateDoctorDue(ctx, now)
	if err != nil {
		return fmt.Errorf("ask the doctor: %w", err)
	}
	return nil
}

// Count counts findings by severity.
func Count(results []Result) (errors, warnings int) {
	for _, r := range results {
		for _, f := range r.Findings {
			if f.Severity == Error {
				errors++
			} else {
				warnings++
			}
		}
	}
	return errors, warnings
}
