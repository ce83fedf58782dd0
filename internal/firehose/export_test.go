package firehose

import (
	"context"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// Append is what Publish does inside its transaction.
func Append(ctx context.Context, q *tenantdb.Queries, events ...Event) (int64, error) {
	return appendTo(ctx, q, events)
}

// NoteSlots is how many notes of a process are kept.
const NoteSlots = noteSlots

// Lose makes as if more was to be noted than is kept.
func (n *Notes) Lose() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = true
	n.begin()
}

// Relied tells whether notes are relied on.
func (t *Tails) Relied() bool { return t.relied.Load().notes }

// Watched tells whether a followed stream is not looked at because notes are relied on.
func (t *Tails) Watched(s db.Schema) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	tl := t.tails[s.String()]
	return tl != nil && t.relies(tl.tenant.Node()) && tl.looks.Load() > 0
}

// Looks is how often a followed stream was looked at.
func (t *Tails) Looks(s db.Schema) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tails[s.String()].looks.Load()
}

// NotesRead is how often notes were read.
func (t *Tails) NotesRead() int64 { return t.reads.Load() }
