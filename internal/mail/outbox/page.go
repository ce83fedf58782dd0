package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/auroralocus/locus/db/tenantdb"
)

// Parts of a tenant's mail, for [Page].
const (
	PartAll     = ""
	PartWaiting = "waiting" // on its way
	PartSent    = "sent"
	PartFailed  = "failed" // given up
)

// Parts are all of them.
var Parts = []string{PartAll, PartWaiting, PartFailed, PartSent}

var partStates = map[string][2]int16{PartAll: {0, 4}, PartWaiting: {0, 2}, PartSent: {3, 3}, PartFailed: {4, 4}}

// ErrPlace: not a part of the mail, or not a place that a page before gave.
var ErrPlace = errors.New("not a place in the list of mail")

// Page lists some of a tenant's messages, newest first. after is what the page before gave, "" at first; next is "" after
// the last page. Errors: [ErrPlace].
func Page(ctx context.Context, q *tenantdb.Queries, part, after string, limit int) (page []Entry, next string, err error) {
	states, ok := partStates[part]
	at, id := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), ""
	if after != "" {
		text, last, found := strings.Cut(after, "_")
		if at, err = time.Parse(time.RFC3339Nano, text); err != nil || !found || !utf8.ValidString(last) || strings.ContainsRune(last, 0) {
			ok = false
		}
		id = last
	}
	if !ok {
		return nil, "", ErrPlace
	}
	rows, err := q.ListMailPage(ctx, tenantdb.ListMailPageParams{FromState: states[0], ToState: states[1], BeforeAt: at, BeforeID: id, MaxRows: int32(limit) + 1})
	if err != nil {
		return nil, "", fmt.Errorf("list mail: %w", err)
	}
	for i, r := range rows {
		if i == limit {
			last := page[limit-1]
			return page, last.CreatedAt.UTC().Format(time.RFC3339Nano) + "_" + last.ID, nil
		}
		page = append(page, entryOf(tenantdb.ListMailRow(r)))
	}
	return page, "", nil
}
