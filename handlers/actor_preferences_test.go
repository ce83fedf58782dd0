package handlers

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
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
	put(alice, pref("savedFeedsPref", "saved", list{"x"}, "big", 12345678901234), pref("contentLabelPref", "label", "a"), pref("contentLabelPref", "label", "b"), pref("somethingNew", "x", nil)).ok()
	want := `[{"$type":"savedFeedsPref","big":12345678901234,"saved":["x"]},{"$type":"contentLabelPref","label":"a"},{"$type":"contentLabelPref","label":"b"},{"$type":"somethingNew","x":null}]`
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
	for birth, want := range map[string]string{"2012-01-01T00:00:00Z": "true,false,false", "2020-01-01T00:00:00Z": "false,false,false", "2009-06-01": "true,true,false"} {
		put(alice, pref("personalDetailsPref", "birthDate", birth)).ok()
		got := shown(app)
		for _, cut := range []string{`[{"$type":"declaredAgePref","isOverAge13":`, `"isOverAge16":`, `"isOverAge18":`, `}]`} {
			got = strings.Replace(got, cut, "", 1)
		}
		if got != want {
			t.Errorf("born %s: %s", birth, got)
		}
	}
	put(alice, pref("personalDetailsPref", "birthDate", 7)).ok()
	if got := shown(app); got != "[]" {
		t.Errorf("%s", got)
	}
	put(alice, obj{"label": "x"}).fails(400, "InvalidRequest", "Preference is missing a $type")
	put(alice, "text").fails(400, "InvalidRequest", "Preference is missing a $type")
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
			put(app, pref("savedFeedsPref", "n", i), pref("contentLabelPref", "n", i)).ok()
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
