// Package audit keeps a tenant's log of what its operators did, and of what accounts changed about how they are
// protected: who did what to whom, when, from where and with what
// outcome. An act and its entry are written in one transaction, so there is neither without the other.
package audit

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/auroralocus/locus/db/tenantdb"
)

// Done is the outcome of an act that happened; everything else is the name of a refusal.
const Done = "done"

// Entry is one act.
type Entry struct {
	ID        string          `json:"id"` // rises with time
	At        time.Time       `json:"at"`
	Who       string          `json:"who"`  // an operator's name, a moderation service's DID, cli:<user>; an account's own DID
	Role      string          `json:"role"` // it had at that time
	Action    string          `json:"action"`
	Subject   string          `json:"subject,omitempty"` // DID, at:// URI, did/cid of a blob
	Detail    json.RawMessage `json:"detail,omitempty"`  // an object, without secrets
	Address   string          `json:"address,omitempty"`
	RequestID string          `json:"requestId,omitempty"`
	Outcome   string          `json:"outcome"`
}

// Limits of what is stored, in bytes: entries hold what strangers send too.
const (
	maxSubject = 2600
	maxDetail  = 8 << 10
)

// Insert writes an entry inside the caller's transaction. role is the number that the operator's role is stored as;
// detail becomes JSON. ID and Role of e are not looked at.
func Insert(ctx context.Context, q *tenantdb.Queries, e Entry, role int16, detail any) error {
	text := []byte("{}")
	if detail != nil {
		var err error
		if text, err = json.Marshal(detail); err != nil {
			return fmt.Errorf("audit %s: %w", e.Action, err)
		}
		text = shortened(text)
	}
	if len(e.Subject) > maxSubject {
		e.Subject = strings.ToValidUTF8(e.Subject[:maxSubject], "")
	}
	err := q.InsertAudit(ctx, tenantdb.InsertAuditParams{
		AuditID: newID(e.At), At: e.At, Who: e.Who, Role: role, Action: e.Action, Subject: clean(e.Subject), Detail: string(text),
		Address: e.Address, RequestID: e.RequestID, Outcome: e.Outcome,
	})
	if err != nil {
		return fmt.Errorf("audit %s: %w", e.Action, err)
	}
	return nil
}

// shortened is a detail that fits: long texts and lists lose their ends, shorter ones and what else there is stay. Who
// acts must not be able to hide what it was behind something long.
func shortened(text []byte) []byte {
	for _, most := range []struct{ bytes, items int }{{500, 50}, {100, 20}, {20, 5}} {
		if len(text) <= maxDetail {
			return text
		}
		var v any
		in := json.NewDecoder(bytes.NewReader(text))
		in.UseNumber()
		if in.Decode(&v) != nil {
			break
		}
		out, err := json.Marshal(cut(v, most.bytes, most.items))
		if err != nil {
			break
		}
		text = out
	}
	if len(text) > maxDetail {
		return []byte(`{"tooLarge":true}`)
	}
	return text
}

func cut(v any, most, items int) any {
	switch v := v.(type) {
	case string:
		if len(v) > most {
			return strings.ToValidUTF8(v[:most], "") + "…"
		}
	case []any:
		if more := len(v) - items; more > 0 {
			v = append(v[:items:items], fmt.Sprintf("… and %d more", more))
		}
		for i := range v {
			v[i] = cut(v[i], most, items)
		}
		return v
	case map[string]any:
		for k := range v {
			v[k] = cut(v[k], most, items)
		}
	}
	return v
}

// Filter selects entries; empty members select all.
type Filter struct {
	Since   time.Time // from then on
	Until   time.Time // before then
	After   string    // the last ID of the page before; outranks Since, or with newest first Until
	Who     string
	Action  string
	Subject string // and what belongs to it: an account's records and blobs
}

// MaxPage is how many bytes of subjects and details a page holds, or one entry more: it ends early behind that.
const MaxPage = 1 << 20

// List gives a page of up to limit entries, oldest first, and whether there may be more behind it. roleName writes a
// stored role.
func List(ctx context.Context, q *tenantdb.Queries, f Filter, limit int, roleName func(int16) string) (page []Entry, more bool, err error) {
	after, before := f.bounds()
	if f.After != "" {
		after = f.After
	}
	rows, err := q.ListAudit(ctx, tenantdb.ListAuditParams{After: after, Before: before, Who: f.Who, Action: f.Action, Subject: f.Subject, MaxRows: int32(limit), MaxBytes: MaxPage})
	if err != nil {
		return nil, false, fmt.Errorf("list audit log: %w", err)
	}
	for _, r := range rows {
		page = append(page, entryOf(r, roleName))
	}
	return page, moreBehind(page, limit), nil
}

// Newest is List, newest first.
func Newest(ctx context.Context, q *tenantdb.Queries, f Filter, limit int, roleName func(int16) string) (page []Entry, more bool, err error) {
	after, before := f.bounds()
	if f.After != "" {
		before = f.After
	}
	rows, err := q.ListAuditNewest(ctx, tenantdb.ListAuditNewestParams{After: after, Before: before, Who: f.Who, Action: f.Action, Subject: f.Subject, MaxRows: int32(limit), MaxBytes: MaxPage})
	if err != nil {
		return nil, false, fmt.Errorf("list audit log: %w", err)
	}
	for _, r := range rows {
		page = append(page, entryOf(tenantdb.ListAuditRow(r), roleName))
	}
	return page, moreBehind(page, limit), nil
}

// moreBehind tells whether a page is full, of entries or of bytes.
func moreBehind(page []Entry, limit int) bool {
	size := 0
	for i := range page {
		size += len(page[i].Subject) + max(len(page[i].Detail), len("{}"))
	}
	return len(page) == limit || size >= MaxPage
}

// bounds are the IDs that the times stand for: an ID begins with its time.
func (f Filter) bounds() (after, before string) {
	if !f.Since.IsZero() {
		after = timePart(f.Since)
	}
	if !f.Until.IsZero() {
		before = timePart(f.Until)
	}
	return after, before
}

func entryOf(r tenantdb.ListAuditRow, roleName func(int16) string) Entry {
	e := Entry{
		ID: r.AuditID, At: r.At.UTC(), Who: r.Who, Role: roleName(r.Role), Action: r.Action, Subject: r.Subject,
		Address: r.Address, RequestID: r.RequestID, Outcome: r.Outcome,
	}
	if r.Detail != "{}" {
		e.Detail = json.RawMessage(r.Detail)
	}
	return e
}

// IsID says whether a text has the form of an entry's ID.
func IsID(s string) bool {
	return len(s) == 24 && strings.Trim(s, "0123456789abcdef") == ""
}

// Searchable says whether Postgres can look for a text at all.
func Searchable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// newID is the time in microseconds and 32 random bits, in hex: text order is time order.
func newID(at time.Time) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the process instead
	return timePart(at) + hex.EncodeToString(b[:])
}

func timePart(at time.Time) string { return fmt.Sprintf("%016x", max(0, at.UnixMicro())) }

// clean is what Postgres takes as text.
func clean(s string) string {
	for i := range len(s) {
		if s[i] == 0 {
			return fmt.Sprintf("%q", s)
		}
	}
	return s
}
