package console

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// ends waits until the job whose page is at a path has ended, and gives the page.
func (b *browser) ends(path string) answer {
	t := b.h.t
	t.Helper()
	id := path[strings.LastIndex(path, "/")+1:]
	for range 3000 {
		j, err := b.h.jobs.Get(t.Context(), id)
		must(t, err)
		if j.Ended() {
			must(t, b.h.tenants.Refresh(t.Context()))
			return b.get(path)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s does not end", path)
	return answer{}
}

// newest is the page of a tenant's newest job.
func (h *house) newest(t *tenant.Tenant) string {
	h.t.Helper()
	list, err := h.jobs.List(h.t.Context(), job.Filter{TenantID: t.ID, Max: 1})
	must(h.t, err)
	if len(list) == 0 {
		h.t.Fatal("there is no job")
	}
	return tenantPath(t.Hostname) + "/jobs/" + list[0].ID
}

// has says whether an account has a record.
func (h *house) has(t *tenant.Tenant, did, path string) bool {
	h.t.Helper()
	_, _, err := h.acts.Repos.GetRecord(h.t.Context(), t.Schema, did, path)
	return err == nil
}

func (h *house) named(hostname string) *tenant.Tenant {
	h.t.Helper()
	must(h.t, h.tenants.Refresh(h.t.Context()))
	t, err := h.tenants.Get(h.t.Context(), hostname)
	must(h.t, err)
	return t
}

// TestRecovery keeps a tenant, tries the backup, restores it beside the tenant and in its place, and copies the tenant, all by
// forms. What came after the backup is gone where it took the tenant's place, and nowhere else.
func TestRecovery(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	owner := h.deployment(auth.DeploymentOwner, nil)
	sup := h.deployment(auth.DeploymentSupport, nil)
	owner.get(Root+"/recovery").is(200, "The first tenant has it noted", "There are no tenants yet", "No copy of the whole database")
	own := h.tenant("own.test")
	master := h.operatorOf(own, auth.RoleOwner)
	h.runJobs()
	did := h.person(own, "alice")
	h.note(own, did, "com.example.note/before")
	_, err := h.acts.Blobs.Upload(t.Context(), blob.Upload{Owner: blob.Owner{Schema: own.Schema, AID: h.who(own, did).AID, DID: did}, ContentType: "text/plain"}, strings.NewReader("a file"))
	must(t, err)
	at, all := tenantPath("own.test"), Root+"/backups"
	owner.get(all).is(200, "There are no backups yet")
	master.get(at+"/backups").is(200, "There are no backups yet", "Make a backup")
	sup.get(Root+"/recovery").is(200, "seals", "never", "Never proved", "own.test", "All servers have the keys")

	// A backup, which nobody can read who has not the key.
	master.post(at+"/backups", "blobs", "include").is(400, "A backup needs a recipient", "Enter a public key of age")
	key, err := age.GenerateX25519Identity()
	must(t, err)
	other, err := age.GenerateX25519Identity()
	must(t, err)
	made := master.post(at+"/backups", "blobs", "include", "recipients", key.Recipient().String()).is(303)
	master.ends(made.header.Get("Location")).is(200, "tenant backup", "done").lacks("Look again")
	page := owner.get(all).is(200, "own.test")
	name := regexp.MustCompile(`one\?backup=([^"]+)"`).FindStringSubmatch(page.body)
	if name == nil {
		t.Fatal(page.body)
	}
	backup := name[1]
	if found, err := filepath.Glob(h.store + "/*/*/*"); err != nil || len(found) == 0 {
		if found, err = filepath.Glob(h.store + "/*/*"); err != nil || len(found) == 0 {
			t.Errorf("the store has nothing: %v %v", found, err)
		}
	}
	form, one := all+"/restore", all+"/one"
	owner.get(one+"?backup="+backup).is(200, "Backup of own.test", "own.test</a> is there", "Secret key of age", "begins with AGE-SECRET-KEY-1", "Try it", "Delete this backup", key.Recipient().String())
	owner.get(one+"?backup=none").is(404, "There is no such backup")
	owner.get(one).is(404)
	sup.get(one+"?backup="+backup).is(200, "Backup of own.test").lacks("Try it", "Secret key of age", "Delete this backup")
	master.get(one + "?backup=" + backup).is(403)
	master.post(form, "backup", backup).is(403)
	master.post(all+"/drill", "backup", backup).is(403)
	h.tenant("other.test")
	owner.get(tenantPath("other.test") + "/backups/one?backup=" + backup).is(404)

	// What was asked is told in words, and a secret never.
	owner.get(made.header.Get("Location")).is(200, "What was asked", "Recipients", key.Recipient().String(), "Files", "in the backup", "What came of it", "Rows").lacks("&#34;", "blobs", "recipients", "missingFiles")

	// It is tried: with the wrong key, with none, with the right one.
	try := func(identity string) answer {
		t.Helper()
		h.mute.Store(identity != key.String())
		return owner.ends(owner.post(all+"/drill", "backup", backup, "identity", identity).is(303).header.Get("Location"))
	}
	owner.post(all+"/drill", "backup", backup, "identity", "no key").is(400, "The key cannot be used")
	try("").is(200, "failed", "The backup is encrypted", "with the secret key of age")
	try(other.String()).is(200, "failed", "The key does not open the backup").lacks(other.String())
	try(key.String()).is(200, "done", "Could be restored", "yes", "Repositories").lacks(key.String())
	owner.get(Root+"/recovery").is(200, "good", backup)

	// Something happens later, and the backup is restored beside.
	h.note(own, did, "com.example.note/after")
	owner.post(form, "backup", backup, "identity", key.String()).is(409, "There is such a tenant already", "Enter another hostname")
	owner.post(form, "backup", backup, "hostname", "not a name", "identity", key.String()).is(400, "The name cannot be used", "is not a hostname")
	owner.post(form, "backup", backup, "hostname", "beside.test", "node", "nowhere").is(400, "There is no such database", `value="beside.test"`)
	beside := owner.post(form, "backup", backup, "hostname", "beside.test", "identity", key.String()).is(303)
	owner.ends(beside.header.Get("Location")).is(200, "done", "beside.test")
	there := h.named("beside.test")
	if !h.has(there, did, "com.example.note/before") || h.has(there, did, "com.example.note/after") || there.ID == own.ID {
		t.Error("what is beside is not what it was")
	}
	if got := h.who(there, did); got.Handle != "alice.beside.test" {
		t.Errorf("the handle beside is %s", got.Handle)
	}
	if !h.has(own, did, "com.example.note/after") {
		t.Error("the tenant itself was changed")
	}

	// And in its place, which wants its name.
	owner.post(form, "backup", backup, "replace", "on", "identity", key.String()).is(400, "Not confirmed", "Type own.test")
	owner.post(form, "backup", backup, "replace", "on", "confirm", "beside.test", "identity", key.String()).is(400, "Not confirmed")
	owner.post(form, "backup", backup, "hostname", "beside.test", "replace", "on", "confirm", "own.test", "identity", key.String()).is(400, "Type beside.test")
	if !h.has(own, did, "com.example.note/after") {
		t.Error("it was replaced without a word")
	}
	in := owner.post(form, "backup", backup, "replace", "on", "confirm", "own.test", "identity", key.String()).is(303)
	owner.ends(in.header.Get("Location")).is(200, "done", "Took the place of the tenant that was there", "yes").lacks(key.String())
	now := h.named("own.test")
	if !h.has(now, did, "com.example.note/before") || h.has(now, did, "com.example.note/after") {
		t.Error("the backup is not in the tenant's place")
	}
	must(t, h.acts.Repos.CheckTenant(t.Context(), now.Schema, func(r repodb.Report) error { return nil }))
	h.note(now, did, "com.example.note/later")

	// A copy has its own keys and is isolated; the tenant stays as it is.
	owner.post(at+"/clone").is(400, "The name cannot be used")
	owner.post(at+"/clone", "hostname", "beside.test").is(409, "There is such a tenant already", `value="beside.test"`)
	master.post(at+"/clone", "hostname", "copy.test").is(403)
	owner.get(at).is(200, "Make the copy")
	owner.post(at+"/clone", "hostname", "copy.test").leads(at)
	owner.get(at).is(200, "is being copied")
	owner.ends(h.newest(now)).is(200, "tenant clone", "done", "copy.test")
	copied := h.named("copy.test")
	if !copied.Settings.Isolated || !h.has(copied, did, "com.example.note/later") {
		t.Errorf("the copy: %+v", copied.Settings)
	}
	if got := h.who(copied, did); got.Handle != "alice.copy.test" {
		t.Errorf("the handle in the copy is %s", got.Handle)
	}
	owner.get(Root+"/audit?action=tenant+restore").is(200, backup)
	owner.get(Root+"/audit?action=tenant+clone").is(200, "own.test")

	owner.post(all+"/delete", "backup", backup, "delete", "on").is(400, "Not confirmed", "<details open>")
	owner.get(one+"?backup="+backup).is(200, "Backup of own.test")
	owner.post(all+"/delete", "backup", backup, "sure", "on").leads(all)
	owner.get(all).is(200, "There are no backups yet")
	if _, err := os.Stat(h.store); err != nil {
		t.Error(err)
	}
}

// TestOwnBackups: a tenant's own owner keeps as many backups as its people may, and deletes those that they made, and none
// that the deployment made.
func TestOwnBackups(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	own := h.tenant("own.test")
	owner, master := h.deployment(auth.DeploymentOwner, nil), h.operatorOf(own, auth.RoleOwner)
	h.runJobs()
	at := tenantPath("own.test") + "/backups"
	makes := func(b *browser) string {
		t.Helper()
		b.ends(b.post(at, "blobs", "include", "unencrypted", "on").is(303).header.Get("Location")).is(200, "done")
		all := regexp.MustCompile(`one\?backup=([^"]+)"`).FindStringSubmatch(master.get(at).is(200).body)
		if all == nil {
			t.Fatal("it is not listed")
		}
		return all[1] // the newest
	}
	theirs := makes(owner)
	master.get(at+"/one?backup="+theirs).is(200, "an owner of the deployment deletes it").lacks("Delete this backup")
	master.post(at+"/delete", "backup", theirs, "sure", "on").is(403, "It is not yours")
	h.pass(time.Second)
	mine := makes(master)
	master.get(at+"/one?backup="+mine).is(200, "Delete this backup").lacks("Try it")
	master.post(at+"/delete", "backup", mine, "sure", "on").leads(at)
	master.get(at).is(200, theirs).lacks(mine)
	for range 19 {
		h.pass(time.Second)
		makes(master)
	}
	master.post(at, "blobs", "include", "unencrypted", "on").is(409, "Too many backups", "20 of own.test")
	owner.post(at, "blobs", "include", "unencrypted", "on").is(303)
}

// TestMove: a tenant is moved to another database by the form, and only by the deployment's owner.
func TestMove(t *testing.T) {
	d := dbtest.OpenNodes(t, dbtest.URL(t), map[string]string{"second": dbtest.EmptyURL(t)})
	h := newTenantHouseOn(t, d, outbox.Config{})
	own := h.tenant("own.test")
	owner, master := h.deployment(auth.DeploymentOwner, nil), h.operatorOf(own, auth.RoleOwner)
	at := tenantPath("own.test")
	owner.get(at).is(200, "Rename").lacks("Take it to another database")
	_, err := h.acts.AddNode(t.Context(), byHand(), "second", true, "")
	must(t, err)
	owner.get(at).is(200, "Take it to another database", "It is in home", "second, 0 tenants")
	master.get(at).is(200).lacks("Take it to another database", "second, 0")
	master.post(at+"/move", "node", "second", "keep", "1").is(403)
	for _, odd := range []string{"", "-1", "x", "8761"} {
		owner.post(at+"/move", "node", "second", "keep", odd).is(400, "0 to 8760 hours")
	}
	owner.post(at+"/move", "node", "nowhere", "keep", "1").is(400, "There is no such database")
	owner.post(at+"/move", "node", "home", "keep", "1").is(409, "It cannot be moved so", "own.test is in home already.")
	did := h.person(own, "alice")
	h.note(own, did, "com.example.note/one")
	h.runJobs()
	owner.post(at+"/move", "node", "second", "keep", "0").leads(at)
	owner.get(at).is(200, "is being moved")
	owner.ends(h.newest(own)).is(200, "tenant move", "done")
	now := h.named("own.test")
	if now.NodeID == own.NodeID || !h.has(now, did, "com.example.note/one") {
		t.Errorf("it is in %d", now.NodeID)
	}
	owner.get(at).is(200, "It is in second", "home, 0 tenants")
	owner.get(Root+"/audit?action=tenant+move").is(200, "own.test")
}

// TestSecrets: the secrets of tokens are replaced, and who ends all sessions says of which tenant.
func TestSecrets(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	own := h.tenant("own.test")
	master, adm := h.operatorOf(own, auth.RoleOwner), h.operatorOf(own, auth.RoleAdmin)
	did := h.person(own, "alice")
	_, err := h.acts.SignIn(t.Context(), own, act.Visitor{}, act.Credentials{Identifier: did, Password: "a long password"})
	must(t, err)
	at := tenantPath("own.test") + "/settings"
	adm.get(at).is(200).lacks("Secrets of tokens")
	adm.post(at + "/secrets").is(403)
	master.get(at).is(200, "Secrets of tokens", "To end all sessions, type own.test")
	master.post(at + "/secrets").leads(at)
	master.get(at).is(200, "signs with new secrets from", "good until it ends")
	h.wrote(own, own.Hostname, master, "tenant rotate-secrets", `"endSessions":false`)
	master.post(at+"/secrets").is(409, "They were replaced a moment ago", "Try again in 15 seconds.")
	h.pass(20 * time.Second)
	before := h.written(own, own.Hostname).ID
	master.post(at+"/secrets", "end_sessions", "on").is(400, "Not confirmed", " checked")
	master.post(at+"/secrets", "end_sessions", "on", "confirm", "other.test").is(400, "Not confirmed")
	if h.written(own, own.Hostname).ID != before {
		t.Error("something was done")
	}
	master.post(at+"/secrets", "end_sessions", "on", "confirm", "own.test").leads(at)
	master.get(at).is(200, "All sessions end then")
	h.wrote(own, own.Hostname, master, "tenant rotate-secrets", `"endSessions":true`)
	for range 4 {
		h.pass(20 * time.Second)
		master.post(at + "/secrets").leads(at)
	}
	h.pass(20 * time.Second)
	master.post(at+"/secrets").is(409, "Too many are still good", "until")
}

// TestApps: apps that are signed in to an account are listed and signed out.
func TestApps(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	own := h.tenant("own.test")
	staff := h.staff(own)
	did := h.person(own, "alice")
	at := tenantPath("own.test") + "/accounts/" + did
	sub, mod, adm := staff[auth.RoleSupport], staff[auth.RoleModerator], staff[auth.RoleAdmin]
	sub.get(at).is(200, "No app is signed in by OAuth")
	who, err := account.ByDID(t.Context(), h.db.Tenant(own.Schema).Q(), did)
	must(t, err)
	const one, two = "https://one.example/client.json", "https://two.example/<client>.json"
	h.app(own, who, one, "One")
	h.app(own, who, one, "One")
	h.app(own, who, two, "")
	sub.get(at).is(200, "One", one, "https://two.example/&lt;client&gt;.json", "atproto transition:generic").lacks("Sign all apps out")
	mod.post(at+"/apps", "client", one).is(403)
	adm.get(at).is(200, "Sign all apps out")
	adm.post(at+"/apps", "client", "https://three.example/client.json").is(409, "The app is not signed in")
	adm.post(at+"/apps", "client", strings.Repeat("x", 9000)).is(409, "The app is not signed in")
	adm.post(at+"/apps", "client", one).leads(at)
	adm.get(at).is(200, "2 sessions of apps have ended", "two.example").lacks("<strong>One</strong>")
	h.wrote(own, did, adm, "org.auroralocus.admin.endApps", one)
	adm.post(at + "/apps").leads(at)
	adm.get(at).is(200, "One session of an app has ended", "No app is signed in by OAuth")
	h.wrote(own, did, adm, "org.auroralocus.admin.endApps")
}
