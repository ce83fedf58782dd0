package admintest

import (
	"encoding/json"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/auroralocus/locus/internal/auth"
	sdk "github.com/auroralocus/locus/openapi/clients/go/operator"
)

// A tenant is kept in the store, listed, tried, restored under its own name and another one, copied, and the backup deleted.
func TestBackups(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.tenant("own.test")
	c := h.client(h.token(auth.DeploymentOwner, nil))
	h.runJobs()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	open, err := c.BackupTenantWithResponse(ctx, "own.test", nil, sdk.MakeBackupInputBody{})
	refused(t, "no_recipient", open, err)
	open, err = c.BackupTenantWithResponse(ctx, "own.test", nil, sdk.MakeBackupInputBody{Recipients: &[]string{"age1nobody"}})
	refused(t, "bad_age_key", open, err)
	made, err := c.BackupTenantWithResponse(ctx, "own.test", nil, sdk.MakeBackupInputBody{Recipients: &[]string{key.Recipient().String()}}, sdk.Once("backup"))
	must(t, made, err)
	again, err := c.BackupTenantWithResponse(ctx, "own.test", nil, sdk.MakeBackupInputBody{Recipients: &[]string{key.Recipient().String()}}, sdk.Once("backup"))
	must(t, again, err)
	if again.JSON202.Id != made.JSON202.Id {
		t.Error("a repeated request made another backup")
	}
	h.ended(c, made.JSON202, "done")
	list, err := c.ListBackupsWithResponse(ctx, nil)
	must(t, list, err)
	if len(list.JSON200.Backups) != 1 {
		t.Fatalf("%s", list.Body)
	}
	b := list.JSON200.Backups[0]
	if b.Hostname != "own.test" || !b.Encrypted || b.Bytes == 0 || b.Rows == 0 || b.By == "" || b.Recipients[0] != key.Recipient().String() || *b.Job != made.JSON202.Id {
		t.Errorf("%+v", b)
	}
	one, err := c.GetBackupWithResponse(ctx, b.Name)
	must(t, one, err)

	// Without its key it stays shut, and says so.
	h.mute.Store(true)
	shut, err := c.DrillBackupWithResponse(ctx, b.Name, nil, sdk.DrillInputBody{})
	must(t, shut, err)
	h.ended(c, shut.JSON202, "failed")
	h.mute.Store(false)
	secret := key.String()
	drill, err := c.DrillBackupWithResponse(ctx, b.Name, nil, sdk.DrillInputBody{Identity: &secret})
	must(t, drill, err)
	if strings.Contains(string(drill.Body), "sealedIdentity") {
		t.Errorf("the key is in the answer: %s", drill.Body)
	}
	h.ended(c, drill.JSON202, "done")
	told, err := c.GetJobWithResponse(ctx, drill.JSON202.Id, nil)
	must(t, told, err)
	if text := string(told.Body); !strings.Contains(text, `"ok":true`) || strings.Contains(text, "sealedIdentity") {
		t.Errorf("%s", text)
	}
	proofs, err := c.ListProofsWithResponse(ctx, &sdk.ListProofsParams{Limit: new(int64(1))})
	must(t, proofs, err)
	proved := 0
	for seen := 0; ; seen++ {
		is := proofs.JSON200
		if len(is.Tenants) > 1 || is.Never != is.Count-1 || is.Database != nil {
			t.Fatalf("%s", proofs.Body)
		}
		for _, p := range is.Tenants {
			if p.ProvedAt != nil {
				proved++
				if p.Hostname != "own.test" || p.Archive == nil || *p.Archive != b.Name || !p.Encrypted || p.FailedAt != nil {
					t.Errorf("%+v", p)
				}
			}
		}
		if is.Cursor == nil || int64(seen) > is.Count {
			break
		}
		proofs, err = c.ListProofsWithResponse(ctx, &sdk.ListProofsParams{Limit: new(int64(1)), Cursor: is.Cursor})
		must(t, proofs, err)
	}
	if proved != 1 {
		t.Errorf("%d tenants are proved", proved)
	}

	living, err := c.RestoreBackupWithResponse(ctx, b.Name, nil, sdk.RestoreInputBody{Identity: &secret})
	refused(t, "name_taken", living, err)
	over, err := c.RestoreBackupWithResponse(ctx, b.Name, nil, sdk.RestoreInputBody{Identity: &secret, Replace: new(true)})
	must(t, over, err)
	h.ended(c, over.JSON202, "done")
	beside, err := c.RestoreBackupWithResponse(ctx, b.Name, nil, sdk.RestoreInputBody{Identity: &secret, Hostname: new("beside.test")})
	must(t, beside, err)
	h.ended(c, beside.JSON202, "done")
	clone, err := c.CloneTenantWithResponse(ctx, "own.test", nil, sdk.CloneInputBody{Hostname: "copy.test"})
	must(t, clone, err)
	h.ended(c, clone.JSON202, "done")
	for _, host := range []string{"own.test", "beside.test", "copy.test"} {
		got, err := c.GetTenantWithResponse(ctx, host)
		must(t, got, err)
		if got.JSON200.State != "active" {
			t.Errorf("%s is %s", host, got.JSON200.State)
		}
	}
	taken, err := c.CloneTenantWithResponse(ctx, "own.test", nil, sdk.CloneInputBody{Hostname: "beside.test"})
	refused(t, "name_taken", taken, err)

	gone, err := c.DeleteBackupWithResponse(ctx, b.Name)
	must(t, gone, err)
	gone, err = c.DeleteBackupWithResponse(ctx, b.Name)
	refused(t, "not_found", gone, err)
	if err := filepath.WalkDir(h.store, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			t.Errorf("%s was left", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Join(h.logged(c), "\n")
	for _, want := range []string{"tenant backup own.test done", "backup drill " + b.Name + " done", "tenant restore " + b.Name + " done", "tenant clone own.test done", "backup delete " + b.Name + " done"} {
		if !strings.Contains(lines, want) {
			t.Errorf("the log has no line %q:\n%s", want, lines)
		}
	}
	if all := string(h.call(h.token(auth.DeploymentOwner, nil), "GET", "/v1/audit?limit=500", nil).ok().body) + string(h.call(h.token(auth.DeploymentOwner, nil), "GET", "/v1/jobs", nil).ok().body); strings.Contains(all, "AGE-SECRET") || strings.Contains(all, "sealedIdentity") {
		t.Error("the key of the backup is in the log or in a job")
	}
}

// A tenant's own operator keeps backups of the tenant and of no other, deletes only the own, and restores nothing.
func TestOwnBackups(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	own := h.tenant("own.test")
	h.tenant("other.test")
	owner, mine := h.client(h.token(auth.DeploymentOwner, nil)), h.client(h.token(auth.DeploymentTenant, own))
	h.runJobs()
	names := map[string]string{}
	for host, c := range map[string]*sdk.ClientWithResponses{"other.test": owner, "own.test": owner} {
		made, err := c.BackupTenantWithResponse(ctx, host, nil, sdk.MakeBackupInputBody{Unencrypted: new(true)})
		must(t, made, err)
		h.ended(owner, made.JSON202, "done")
		names[host] = backupOf(t, owner, made.JSON202.Id)
	}
	made, err := mine.BackupTenantWithResponse(ctx, "own.test", nil, sdk.MakeBackupInputBody{Unencrypted: new(true)})
	must(t, made, err)
	watched, err := mine.GetTenantJobWithResponse(ctx, "own.test", made.JSON202.Id, &sdk.GetTenantJobParams{Wait: new(int64(60))})
	must(t, watched, err)
	h.ended(owner, made.JSON202, "done")
	ownName := backupOf(t, owner, made.JSON202.Id)
	list, err := mine.ListTenantBackupsWithResponse(ctx, "own.test", nil)
	must(t, list, err)
	if len(list.JSON200.Backups) != 2 || list.JSON200.Backups[0].Hostname != "own.test" {
		t.Errorf("%s", list.Body)
	}
	theirs, err := mine.GetTenantBackupWithResponse(ctx, "own.test", names["other.test"])
	refused(t, "not_found", theirs, err)
	all, err := mine.ListBackupsWithResponse(ctx, nil)
	refused(t, "forbidden", all, err)
	other, err := mine.BackupTenantWithResponse(ctx, "other.test", nil, sdk.MakeBackupInputBody{})
	refused(t, "forbidden", other, err)
	back, err := mine.RestoreBackupWithResponse(ctx, ownName, nil, sdk.RestoreInputBody{})
	refused(t, "forbidden", back, err)
	moved, err := mine.MoveTenantWithResponse(ctx, "own.test", nil, sdk.MoveWish{To: "home"})
	refused(t, "forbidden", moved, err)
	gone, err := mine.DeleteTenantBackupWithResponse(ctx, "own.test", names["own.test"])
	refused(t, "forbidden", gone, err)
	gone, err = mine.DeleteTenantBackupWithResponse(ctx, "own.test", ownName)
	must(t, gone, err)
}

// backupOf is the name of the backup that a job made.
func backupOf(t *testing.T, c *sdk.ClientWithResponses, id string) string {
	t.Helper()
	j, err := c.GetJobWithResponse(t.Context(), id, nil)
	must(t, j, err)
	var whole struct {
		Result struct{ Name string }
	}
	if err := json.Unmarshal(j.Body, &whole); err != nil || whole.Result.Name == "" {
		t.Fatalf("%v: %s", err, j.Body)
	}
	return whole.Result.Name
}
