package archive

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

// sealers are all places of the program that seal something, and where it lies: in which column of an archive, or why it
// is in none. Whoever seals something new says here where it goes, and has it resealed (places in sealed.go) if that is a
// tenant's table: otherwise a restore under another master key leaves it shut. A change of the master key reseals all that is
// kept (reseal.go of package act), in control too: it has to know the place as well.
var sealers = map[string][]string{
	"internal/tenant/captcha.go Seal":               {"tenant_item.secret"},
	"internal/tenant/set.go Seal":                   {"tenant_item.secret"},
	"internal/tenant/set.go GenerateMACKey":         {"tenant_item.secret"},
	"internal/tenant/create.go GenerateMACKey":      {"tenant_item.secret"},
	"internal/tenant/secrets.go GenerateMACKey":     {"tenant_item.secret"},
	"internal/tenant/secrets.go GenerateES256":      {"tenant_item.secret"},
	"internal/tenant/create.go GenerateRotationKey": {"tenant_item.secret"},
	"internal/auth/oauth.go GenerateES256":          {"tenant_item.secret"},
	"internal/blob/stores.go Seal":                  {"tenant_item.secret"},
	"internal/account/reserve.go SealSigningKey":    {"tenant_item.secret"},
	"internal/account/factor.go Seal":               {"account_item.secret"},
	"internal/account/signup.go SealSigningKey":     {"account.key_sealed"},
	"internal/act/signingkey.go SealSigningKey":     {"account.key_sealed"},
	"internal/act/archiveclone.go SealSigningKey":   {"account.key_sealed"},
	"internal/act/archiveclone.go GenerateMACKey":   {"tenant_item.secret"},

	"internal/act/archiveclone.go GenerateRotationKey": {"tenant_item.secret"},

	"internal/mail/outbox/outbox.go Seal":        nil, // mail that waits is not restored
	"internal/admin/repeats.go Seal":             nil, // in control
	"internal/certs/store.go Seal":               nil, // in control
	"internal/act/backuprestore.go Seal":         nil, // in control, until the job has ended
	"internal/archive/sealed.go Rebind":          nil, // this is it
	"internal/operator/factor.go Seal":           nil, // in control
	"internal/operator/factor.go GenerateMACKey": nil, // in control
	"cmd/locus/doctorprobe.go Seal":              nil, // a trial, which is kept nowhere
}

// TestEverySealedColumnIsKnown finds what seals something and is not in the list, and what the list says wrongly.
func TestEverySealedColumnIsKnown(t *testing.T) {
	seals := regexp.MustCompile(`\.(Seal[A-Z]\w*|Seal|Rebind|GenerateRotationKey|GenerateMACKey|GenerateES256)\(`)
	found := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		name := filepath.ToSlash(strings.TrimPrefix(path, "../../"))
		switch {
		case err != nil:
			return err
		case e.IsDir() && (strings.HasPrefix(e.Name(), ".") && path != "../.." || name == "internal/keyring" || e.Name() == "node_modules" || e.Name() == "testdata"):
			return filepath.SkipDir
		case e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || !regexp.MustCompile(`internal/keyring|eys\.(Seal|Generate)`).Match(text) {
			return err // nobody else has a keyring
		}
		for _, m := range seals.FindAllStringSubmatch(string(text), -1) {
			found[name+" "+m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, p := range places {
		known[p.table+"."+p.column] = true
	}
	for at := range found {
		columns, listed := sealers[at]
		if !listed {
			t.Errorf("%s seals something: say in this list where it lies, and in sealed.go that it is resealed", at)
		}
		for _, c := range columns {
			if !known[c] {
				t.Errorf("%s puts it into %s, which is resealed by nobody", at, c)
			}
		}
	}
	for at := range sealers {
		if !found[at] {
			t.Errorf("%s is in the list and seals nothing", at)
		}
	}
}

// TestReplacedSecretsAreBound: a secret that was replaced is opened as what it was.
func TestReplacedSecretsAreBound(t *testing.T) {
	for _, purpose := range []string{tenant.SecretJWT, tenant.SecretDPoP, keyring.PurposeOAuth} {
		is, ok := TenantItemBinding("t_1", itemSecret, purpose, 0)
		was, also := TenantItemBinding("t_1", itemSecret, purpose+" 1764400000000000", 0)
		if !ok || !also || is != was {
			t.Errorf("%s: %v, replaced %v", purpose, is, was)
		}
	}
}
