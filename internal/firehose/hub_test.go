package firehose

import (
	"testing"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// TestWrittenMeanwhile: a commit that is noted between the question and the look at its answer is newer than the answer,
// and not lost.
func TestWrittenMeanwhile(t *testing.T) {
	h, s := NewHub(), db.Schema{}
	h.Wrote(s, 5, 1, 1)
	before := h.wroteSoFar()
	answer := &tenantdb.GetStreamStateRow{LastSeq: 4}
	h.Wrote(s, 6, 1, 2)
	if !h.lost(s, answer, before) {
		t.Error("what the database lacks is not missed")
	}
	if lost := h.takeLost(s, answer, before); len(lost) != 1 || lost[0].seq != 5 {
		t.Errorf("lost: %v", lost)
	}
	if h.lost(s, answer, before) {
		t.Error("what was committed after the question is taken for lost")
	}
	if lost := h.takeLost(s, answer, h.wroteSoFar()); len(lost) != 1 || lost[0].seq != 6 {
		t.Errorf("lost at the next look: %v", lost)
	}
}
