package handlers

import (
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

// queuedMail is a message that waits.
type queuedMail struct {
	To string
	mail.Note
}

// queued are the messages that wait in a tenant's queue, oldest first, as who holds the master key reads them.
func (h *house) queued(tn *tenant.Tenant) []queuedMail {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.url)
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(h.t.Context())
	rows, err := conn.Query(h.t.Context(), "SELECT convert_from(key, 'UTF8'), label, secret FROM "+tn.Schema.String()+".tenant_item WHERE kind = 5 AND flags = 0 ORDER BY created_at")
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	var out []queuedMail
	for rows.Next() {
		var id string
		var m queuedMail
		var sealed []byte
		if err := rows.Scan(&id, &m.To, &sealed); err != nil {
			h.t.Fatal(err)
		}
		body, err := h.keys.Open(keyring.Binding{Schema: tn.Schema.String(), Owner: id, Purpose: "mail"}, sealed)
		if err != nil {
			h.t.Fatal(err)
		}
		if err := json.Unmarshal(body, &m.Note); err != nil {
			h.t.Fatal(err)
		}
		out = append(out, m)
	}
	if err := rows.Err(); err != nil {
		h.t.Fatal(err)
	}
	return out
}

// mailedToken is the token in the newest message of a kind.
func (u *user) mailedToken(kind mail.Kind) string {
	u.t.Helper()
	all := u.queued(u.tenant())
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Kind == kind && all[i].Handle == u.handle {
			return all[i].Code
		}
	}
	u.t.Fatalf("no %s mail for %s among %d", kind, u.handle, len(all))
	return ""
}

// Mail is in the reader's language as far as there is one, and in the tenant's otherwise.
func TestMailLanguage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.set(hostA, "mail_language", "fr")
	u := h.createAccount(hostA, "alice")
	for _, tt := range [][2]string{{"de-AT,de;q=0.9,en;q=0.5", "de"}, {"sv", "fr"}, {"", "fr"}, {"en;q=0.1,de;q=0.2", "de"}} {
		header := ""
		if tt[0] != "" {
			header = "Accept-Language: " + tt[0]
		}
		h.raw("POST", hostA, "/xrpc/com.atproto.server.requestAccountDelete", nil, bearer(u.access), header).ok()
		all := h.queued(h.a)
		if got := all[len(all)-1]; got.Lang != tt[1] || got.Handle != u.handle || got.Kind != mail.KindDeleteAccount {
			t.Errorf("%q: %+v", tt[0], got)
		}
	}
}
