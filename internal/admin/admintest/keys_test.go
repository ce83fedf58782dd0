package admintest

import (
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/keyring"
	sdk "github.com/auroralocus/locus/openapi/clients/go/operator"
)

// The master key is replaced over the API: who may not see it does not, without another key nothing begins, one rotation
// is under way at a time, and no answer has a key in it.
func TestMasterKeys(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.tenant("own.test")
	c := h.client(h.token(auth.DeploymentOwner, nil))
	count := true
	before, err := c.ListMasterKeysWithResponse(ctx, &sdk.ListMasterKeysParams{Count: &count})
	must(t, before, err)
	is := before.JSON200
	if len(is.Keys) != 1 || is.Keys[0].State != "seals" || is.Keys[0].Values == nil || *is.Keys[0].Values < 3 || !is.Keys[0].Here || !is.Counted || is.Tenants != 1 {
		t.Errorf("%s", before.Body)
	}
	if len(is.TokenSecrets) != 1 || is.TokenSecrets[0].Hostname != "own.test" || is.TokenSecrets[0].Since.IsZero() {
		t.Errorf("%s", before.Body)
	}
	plain, err := c.ListMasterKeysWithResponse(ctx, nil)
	must(t, plain, err)
	if plain.JSON200.Counted || plain.JSON200.Keys[0].Values != nil || len(plain.JSON200.TokenSecrets) != 0 {
		t.Errorf("%s", plain.Body)
	}
	none, err := c.RotateMasterKeyWithResponse(ctx, nil, sdk.RotateMasterKeyJSONRequestBody{})
	refused(t, "no_new_master_key", none, err)
	support := h.client(h.token(auth.DeploymentSupport, nil))
	no, err := support.RotateMasterKeyWithResponse(ctx, nil, sdk.RotateMasterKeyJSONRequestBody{})
	refused(t, "forbidden", no, err)

	key, err := keyring.AppendMaster(h.keyFile, 0)
	if err != nil {
		t.Fatal(err)
	}
	begun, err := c.RotateMasterKeyWithResponse(ctx, nil, sdk.RotateMasterKeyJSONRequestBody{}, sdk.Once("rotate"))
	must(t, begun, err)
	again, err := c.RotateMasterKeyWithResponse(ctx, nil, sdk.RotateMasterKeyJSONRequestBody{}, sdk.Once("rotate"))
	must(t, again, err)
	if again.JSON202.Id != begun.JSON202.Id {
		t.Errorf("%s, %s", begun.Body, again.Body)
	}
	two, err := c.RotateMasterKeyWithResponse(ctx, nil, sdk.RotateMasterKeyJSONRequestBody{})
	refused(t, "busy", two, err)
	h.runJobs()
	h.ended(c, begun.JSON202, "done")
	after, err := c.ListMasterKeysWithResponse(ctx, &sdk.ListMasterKeysParams{Count: &count})
	must(t, after, err)
	is = after.JSON200
	if len(is.Keys) != 2 || is.Keys[0].State != "refused" || *is.Keys[0].Values != 0 || is.Keys[1].State != "seals" || is.Keys[1].Fingerprint != key.Fingerprint {
		t.Errorf("%s", after.Body)
	}
	to := int64(1)
	back, err := c.RotateMasterKeyWithResponse(ctx, nil, sdk.RotateMasterKeyJSONRequestBody{To: &to})
	refused(t, "master_key_refused", back, err)
	log := string(h.call(h.token(auth.DeploymentOwner, nil), "GET", "/v1/audit", nil).ok().body)
	if !strings.Contains(log, "key rotate") || !strings.Contains(log, "key refuse") {
		t.Errorf("the log: %s", log)
	}
}
