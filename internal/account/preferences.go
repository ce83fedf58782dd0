package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/syntax"
)

// Errors of preferences.
var (
	// ErrPreferenceType: one has no $type.
	ErrPreferenceType = errors.New("preference is missing a $type")
	// ErrPreferenceNamespace: one is not of app.bsky.
	ErrPreferenceNamespace = errors.New("some preferences are not in the app.bsky namespace")
	// ErrPreferenceForbidden: only the main password may set personal details.
	ErrPreferenceForbidden = errors.New("do not have authorization to set preferences: " + personalDetails)
)

const (
	personalDetails = "app.bsky.actor.defs#personalDetailsPref"
	declaredAge     = "app.bsky.actor.defs#declaredAgePref"
)

// preferenceHead is all that is looked at of a preference.
type preferenceHead struct {
	Type      string         `json:"$type"`
	BirthDate jsontext.Value `json:"birthDate"`
}

func headOf(item jsontext.Value) (preferenceHead, error) {
	var h preferenceHead
	if item.Kind() != '{' || json.Unmarshal(item, &h) != nil || h.Type == "" {
		return h, ErrPreferenceType
	}
	return h, nil
}

// Preferences are an account's private preferences in the order in which they were put. Without full (the main
// password's session) personal details are left out; how old somebody says to be is computed from them for everybody.
func Preferences(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, full bool) ([]jsontext.Value, error) {
	stored, err := q.GetPreference(ctx, aid)
	if db.IsNoRows(err) {
		return []jsontext.Value{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("preferences of actor %d: %w", aid, err)
	}
	all, err := parsePreferences(stored)
	if err != nil {
		return nil, fmt.Errorf("preferences of actor %d: %w", aid, err)
	}
	out := make([]jsontext.Value, 0, len(all)+1)
	var birth jsontext.Value
	for _, item := range all {
		h, err := headOf(item)
		if err != nil {
			return nil, fmt.Errorf("preferences of actor %d: %w", aid, err)
		}
		if h.Type == personalDetails {
			if birth == nil {
				birth = h.BirthDate
			}
			if !full {
				continue
			}
		}
		out = append(out, item)
	}
	if born, ok := birthday(birth); ok {
		out = append(out, fmt.Appendf(nil, `{"$type":%q,"isOverAge13":%t,"isOverAge16":%t,"isOverAge18":%t}`,
			declaredAge, overAge(born, now, 13), overAge(born, now, 16), overAge(born, now, 18)))
	}
	return out, nil
}

// PutPreferences replaces an account's preferences as a whole. Without full, personal details stay as they are, and
// none may be among the items, which fit their lexicons. What is computed is dropped. Errors: [ErrPreferenceType], [ErrPreferenceNamespace],
// [ErrPreferenceForbidden], [ErrNotFound].
func PutPreferences(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, items []jsontext.Value, full bool) error {
	var keep []jsontext.Value
	for _, item := range items {
		h, err := headOf(item)
		switch {
		case err != nil:
			return err
		case !strings.HasPrefix(h.Type, "app.bsky."):
			return ErrPreferenceNamespace
		case h.Type == personalDetails && !full:
			return ErrPreferenceForbidden
		case h.Type == declaredAge:
			continue
		}
		keep = append(keep, item)
	}
	if !full {
		if err := q.InsertPreferenceIfAbsent(ctx, tenantdb.InsertPreferenceIfAbsentParams{AID: aid, UpdatedAt: now}); err != nil {
			return fmt.Errorf("preferences of actor %d: %w", aid, err)
		}
		stored, err := q.LockPreference(ctx, aid)
		if db.IsNoRows(err) {
			return ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("lock preferences of actor %d: %w", aid, err)
		}
		before, err := parsePreferences(stored)
		if err != nil {
			return fmt.Errorf("preferences of actor %d: %w", aid, err)
		}
		before = slices.DeleteFunc(before, func(item jsontext.Value) bool {
			h, err := headOf(item)
			return err != nil || h.Type != personalDetails
		})
		keep = append(before, keep...)
	}
	text := []byte{'['}
	for i, item := range keep {
		if i > 0 {
			text = append(text, ',')
		}
		item = slices.Clone(item)
		if err := item.Compact(); err != nil {
			return ErrPreferenceType
		}
		text = append(text, item...)
	}
	text = append(text, ']')
	n, err := q.UpsertPreference(ctx, tenantdb.UpsertPreferenceParams{AID: aid, Value: string(text), UpdatedAt: now})
	if err != nil {
		return fmt.Errorf("preferences of actor %d: %w", aid, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

func parsePreferences(stored string) ([]jsontext.Value, error) {
	var all []jsontext.Value
	if err := json.Unmarshal([]byte(stored), &all); err != nil {
		return nil, fmt.Errorf("stored preferences are damaged: %w", err)
	}
	return all, nil
}

// isDatetime says whether a value is text of the form that the lexicon asks for.
// spec: lexicon#datetime
func isDatetime(v jsontext.Value) bool {
	var text string
	if json.Unmarshal(v, &text) != nil {
		return false
	}
	return syntax.Datetime.Is(text)
}

// birthday is the day of a birth date, whatever the time zone: it is the day that somebody typed.
func birthday(v jsontext.Value) (time.Time, bool) {
	var text string
	if !isDatetime(v) || json.Unmarshal(v, &text) != nil {
		return time.Time{}, false
	}
	born, err := time.Parse(time.DateOnly, text[:len(time.DateOnly)])
	return born, err == nil
}

func overAge(born, now time.Time, years int) bool { return !born.AddDate(years, 0, 0).After(now.UTC()) }
