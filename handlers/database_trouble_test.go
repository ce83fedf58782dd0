package handlers

import "testing"

// TestDatabaseTrouble: a database that is full, or too slow, refuses: nothing broke here, the answer says when to try
// again, and the log does not get a line for each.
func TestDatabaseTrouble(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	for _, trouble := range []struct{ code, name, retry string }{
		{"53100", "DatabaseFull", "60"},      // disk_full
		{"57014", "DatabaseTimeout", "5"},    // query_canceled
		{"53200", "NotEnoughResources", "5"}, // out_of_memory
	} {
		h.log.allowed.Store(trouble.code == "57014") // this one is a statement's own, and worth a line
		h.exec(h.a, `CREATE FUNCTION pds.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no'' USING ERRCODE = ''`+trouble.code+`''; END'`)
		h.exec(h.a, `CREATE TRIGGER refuse BEFORE INSERT ON pds.record FOR EACH ROW EXECUTE FUNCTION pds.refuse()`)
		for range 3 {
			r := alice.create(custom, "", obj{})
			r.fails(503, trouble.name, "")
			if got := r.header.Get("Retry-After"); got != trouble.retry {
				t.Errorf("%s: Retry-After %q", trouble.name, got)
			}
		}
		h.exec(h.a, `DROP TRIGGER refuse ON pds.record`)
		h.exec(h.a, `DROP FUNCTION pds.refuse()`)
		alice.create(custom, "", obj{}).ok()
	}
	h.check()
}
