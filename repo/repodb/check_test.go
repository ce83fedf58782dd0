package repodb

import (
	"fmt"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
)

// TestCheckFinds: each kind of damage is named.
func TestCheckFinds(t *testing.T) {
	dbtest.Plain(t, "it damages rows by statements that Citus refuses")
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	s, schema := newStore(t, d, newKeys(t), Config{}), dbtest.Tenant(t, d)
	for damage, want := range map[string]string{
		"DELETE FROM x.record WHERE aid = $1 AND path = 'com.example.a/3'":                                                                                                                                                         "signed is",
		"UPDATE x.record SET value = value || '\\x00' WHERE aid = $1 AND path = 'com.example.a/3'":                                                                                                                                 "its bytes are not",
		"UPDATE x.record SET rev = 1::bigint << 62 WHERE aid = $1 AND path = 'com.example.a/3'":                                                                                                                                    "revision",
		"UPDATE x.record SET path = 'com.example.a/3 ' WHERE aid = $1 AND path = 'com.example.a/3'":                                                                                                                                "invalid path",
		"DELETE FROM x.mst_node WHERE aid = $1 AND after = ''":                                                                                                                                                                     "is missing",
		"UPDATE x.mst_node SET content = content || '\\x00' WHERE aid = $1 AND after = ''":                                                                                                                                         "its bytes are not",
		"INSERT INTO x.mst_node SELECT aid, 40, after, rev, cid, content FROM x.mst_node WHERE aid = $1 AND after = '' LIMIT 1":                                                                                                    "does not belong",
		"UPDATE x.actor SET head_commit = set_byte(head_commit, 100, get_byte(head_commit, 100) # 1) WHERE aid = $1":                                                                                                               "head commit",
		"UPDATE x.actor SET head_rev = head_rev + 1 WHERE aid = $1":                                                                                                                                                                "head commit is",
		"UPDATE x.account SET key_public = (SELECT key_public FROM x.account WHERE aid <> $1 LIMIT 1) WHERE aid = $1":                                                                                                              "signature",
		"UPDATE x.repo_event SET kind = 2 WHERE aid = $1 AND seq = (SELECT max(seq) FROM x.repo_event WHERE aid = $1)":                                                                                                             "row says kind",
		"DELETE FROM x.repo_event WHERE aid = $1 AND seq = (SELECT max(seq) FROM x.repo_event WHERE aid = $1)":                                                                                                                     "newest event",
		"DELETE FROM x.repo_event WHERE aid = $1 AND seq = (SELECT max(seq) - 1 FROM x.repo_event WHERE aid = $1)":                                                                                                                 "since is",
		"UPDATE x.repo_event SET payload = payload || '\\x00' WHERE aid = $1 AND kind = 3":                                                                                                                                         "malformed frame",
		"UPDATE x.record SET link_to = 'did:plc:x' WHERE aid = $1 AND path = 'com.example.a/3'":                                                                                                                                    `should be ""`,
		"UPDATE x.record SET link_to = 'did:plc:y' WHERE aid = $1 AND link_to IS NOT NULL":                                                                                                                                         "backlink is",
		"UPDATE x.repo_event SET sequenced_at = sequenced_at + interval '1 second' WHERE aid = $1 AND kind = 4":                                                                                                                    "frame says",
		"UPDATE x.repo_event SET payload = (SELECT payload FROM x.repo_event WHERE kind = 3 AND aid <> $1 LIMIT 1), seq_off = (SELECT seq_off FROM x.repo_event WHERE kind = 3 AND aid <> $1 LIMIT 1) WHERE aid = $1 AND kind = 3": "is of did",
	} {
		newRepo(t, d, s.keys, schema)
		aid, _ := newRepo(t, d, s.keys, schema)
		for i := range 8 {
			mustWrite(t, s, schema, aid, create(fmt.Sprintf("com.example.a/%d", i), post(fmt.Sprint(i))))
		}
		mustWrite(t, s, schema, aid, create("app.bsky.graph.follow/1", follow("did:plc:x")))
		if r, err := s.Check(t.Context(), schema, aid); err != nil || !r.OK() {
			t.Fatal(r, err)
		}
		execSQL(t, url, strings.ReplaceAll(damage, "x.", schema.String()+"."), aid)
		r, err := s.Check(t.Context(), schema, aid)
		if err != nil {
			t.Errorf("%s: %v", damage, err)
		} else if !strings.Contains(strings.Join(r.Problems, "\n"), want) {
			t.Errorf("%s: %q", damage, r.Problems)
		}
	}
	// A number that is gone is nobody's, and found all the same.
	execSQL(t, url, "DELETE FROM "+schema.String()+".repo_event WHERE seq = 7")
	var stream Report
	if err := s.CheckTenant(t.Context(), schema, func(r Report) error { stream = r; return nil }); err != nil || stream.OK() {
		t.Error(stream, err)
	}
}
