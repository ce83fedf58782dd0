package handlers

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
)

const (
	getPrefs = "app.bsky.actor.getPreferences"
	putPrefs = "app.bsky.actor.putPreferences"
)

func pref(kind string, more ...any) obj {
	o := obj{"$type": "app.bsky.actor.defs#" + kind}
	for i := 0; i < len(more); i += 2 {
		o[more[i].(string)] = more[i+1]
	}
	return o
}

// app signs in with an app password.
func (u *user) app(name string, privileged bool) *user {
	u.t.Helper()
	password := u.call("com.atproto.server.createAppPassword", obj{"name": name, "privileged": privileged}).ok().str("password")
	r := u.post(u.host, "com.atproto.server.createSession", "", obj{"identifier": u.did, "password": password}).ok()
	return &user{u.house, u.host, u.did, u.handle, r.str("accessJwt"), r.str("refreshJwt")}
}

func TestPreferences(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	app := alice.app("app", false)
	shown := func(u *user) string {
		t.Helper()
		b, err := json.Marshal(u.ask(getPrefs).ok().at("preferences"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(b), "app.bsky.actor.defs#", "")
	}
	if got := shown(alice); got != "[]" {
		t.Errorf("nothing put: %s", got)
	}
	// Order is kept, a type may come twice, what is unknown stays as it is.
	put := func(u *user, items ...any) reply {
		return u.call(putPrefs, obj{"preferences": append(list{}, items...)})
	}
	put(alice, pref("savedFeedsPref", "pinned", list{}, "saved", list{"at://alice.test"}, "big", 12345678901234), pref("contentLabelPref", "label", "a", "visibility", "hide"), pref("contentLabelPref", "label", "b", "visibility", "warn"), pref("somethingNew", "x", nil)).ok()
	want := `[{"$type":"savedFeedsPref","big":12345678901234,"pinned":[],"saved":["at://alice.test"]},{"$type":"contentLabelPref","label":"a","visibility":"hide"},{"$type":"contentLabelPref","label":"b","visibility":"warn"},{"$type":"somethingNew","x":null}]`
	if got := shown(alice); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	// Personal details: the main password's business, and never lost; the age is everybody's.
	put(alice, pref("personalDetailsPref", "birthDate", "2000-02-29T00:00:00.000Z"), pref("adultContentPref", "enabled", true), pref("declaredAgePref", "isOverAge18", false)).ok()
	age := `{"$type":"declaredAgePref","isOverAge13":true,"isOverAge16":true,"isOverAge18":true}`
	if got := shown(alice); got != `[{"$type":"personalDetailsPref","birthDate":"2000-02-29T00:00:00.000Z"},{"$type":"adultContentPref","enabled":true},`+age+`]` {
		t.Errorf("%s", got)
	}
	if got := shown(app); got != `[{"$type":"adultContentPref","enabled":true},`+age+`]` {
		t.Errorf("app: %s", got)
	}
	put(app, pref("personalDetailsPref", "birthDate", "1900-01-01T00:00:00Z")).fails(400, "InvalidRequest", "Do not have authorization to set preferences")
	put(app, pref("adultContentPref", "enabled", false)).ok()
	put(alice.app("priv", true)).ok()
	if got := shown(alice); got != `[{"$type":"personalDetailsPref","birthDate":"2000-02-29T00:00:00.000Z"},`+age+`]` {
		t.Errorf("after an app's: %s", got)
	}
	for birth, want := range map[string]string{"2012-01-01T00:00:00Z": "true,false,false", "2020-01-01T00:00:00Z": "false,false,false", "2009-06-01T23:30:00+14:00": "true,true,false"} {
		put(alice, pref("personalDetailsPref", "birthDate", birth)).ok()
		got := shown(app)
		for _, cut := range []string{`[{"$type":"declaredAgePref","isOverAge13":`, `"isOverAge16":`, `"isOverAge18":`, `}]`} {
			got = strings.Replace(got, cut, "", 1)
		}
		if got != want {
			t.Errorf("born %s: %s", birth, got)
		}
	}
	for _, wrong := range []any{7, nil, "", "yesterday", "2009-06-01", "2009-13-01T00:00:00Z", "2009-02-29T00:00:00Z", "2009-06-01T00:00:00", "2009-06-01and more"} {
		put(alice, pref("adultContentPref", "enabled", true), pref("personalDetailsPref", "birthDate", wrong)).fails(400, "InvalidRequest", "preferences[1].birthDate must be a ")
	}
	put(alice, pref("personalDetailsPref")).ok() // who tells nothing
	if got := shown(alice); got != `[{"$type":"personalDetailsPref"}]` {
		t.Errorf("%s", got)
	}
	// What was stored by other rules is shown, and is nobody's age.
	for _, old := range []string{`7`, `"1990-01-01and more"`, `"2009-02-29T00:00:00Z"`} {
		h.exec(h.a, "UPDATE pds.account_item SET value = $1 WHERE kind = 9", `[{"$type":"app.bsky.actor.defs#personalDetailsPref","birthDate":`+old+`}]`)
		if got := shown(alice) + shown(app); got != `[{"$type":"personalDetailsPref","birthDate":`+old+`}][]` {
			t.Errorf("%s", got)
		}
	}
	put(alice, obj{"label": "x"}).fails(400, "InvalidRequest", "preferences[0] must be an object with a $type")
	put(alice, "text").fails(400, "InvalidRequest", "preferences[0] must be an object with a $type")
	put(alice, obj{"$type": "com.example.pref"}).fails(400, "InvalidRequest", "not in the app.bsky namespace")
	put(alice, obj{"$type": "app.bskyish"}).fails(400, "InvalidRequest", "not in the app.bsky namespace")
	alice.call(putPrefs, obj{}).fails(400, "InvalidRequest", "preferences")
	put(alice).ok()
	if got := shown(alice); got != "[]" {
		t.Errorf("emptied: %s", got)
	}
	// Two apps and the account write at once: one of them as a whole, and the birth date stays when the last was an app.
	put(alice, pref("personalDetailsPref", "birthDate", "1990-01-01T00:00:00Z")).ok()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			put(app, pref("newPref", "n", i), pref("newerPref", "n", i)).ok()
		})
	}
	wg.Wait()
	var items []struct{ N int }
	if err := json.Unmarshal([]byte(shown(app)), &items); err != nil || len(items) != 3 || items[0].N != items[1].N {
		t.Errorf("%v %v", items, err)
	}
	if !strings.Contains(shown(alice), "1990-01-01") {
		t.Error("personal details are lost")
	}
	// A taken-down account may read, not write.
	h.status(hostA, alice.did, true, nil).ok()
	td := h.post(hostA, "com.atproto.server.createSession", "", obj{"identifier": alice.did, "password": userPassword, "allowTakendown": true}).ok().str("accessJwt")
	h.get(hostA, getPrefs, bearer(td)).ok()
	h.post(hostA, putPrefs, bearer(td), obj{"preferences": list{}}).fails(400, "InvalidToken", "Bad token scope")
	put(alice).fails(401, "AccountTakedown", "")
}

// Preferences that come in while the account is being deleted, or where nobody has heard of it yet, do not outlive it.
func TestPreferencesOfADeletedAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, name := range []string{"main", "app"} {
		u := h.createAccount(hostA, "alice-"+name)
		writer := u
		if name == "app" {
			writer = u.app("app", false)
		}
		a, err := account.ByDID(t.Context(), h.db.Tenant(h.a.Schema).Q(), u.did)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 20 {
				if r := writer.call(putPrefs, obj{"preferences": list{pref("x", "y", "z")}}); r.status != 200 {
					r.fails(403, "AccountNotFound", "")
				}
			}
		})
		// As another process does it: this one's cache goes on saying that there is such an account.
		err = h.db.Tenant(h.a.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
			_, err := account.Delete(t.Context(), q, h.clock.Now(), a.AID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if n := query64(t, h.url, "SELECT count(*) FROM "+h.a.Schema.String()+".account_item WHERE kind = 9 AND aid = $1", a.AID); n[0] != 0 {
			t.Errorf("%s: preferences are left of an account that is gone", name)
		}
	}
}
