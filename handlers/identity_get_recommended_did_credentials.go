package handlers

import (
	"context"
	"encoding/json"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/identity"
)

// plcService is a service as PLC operations have it.
type plcService struct {
	Type     string `json:"type"`
	Endpoint string `json:"endpoint"`
}

// getRecommendedDidCredentials tells what the DID of an account hosted here should say.
// spec: lexicon com.atproto.identity.getRecommendedDidCredentials
func (m identityMethods) getRecommendedDidCredentials(ctx context.Context, c xrpc.AccountCaller, _ *identityGetRecommendedDidCredentialsInput) (*identityGetRecommendedDidCredentialsOutput, error) {
	key, err := account.Signer(ctx, m.db.Tenant(c.Tenant.Schema).Q(), m.keys, c.Tenant.Schema, c.AID)
	if err != nil {
		return nil, act.Gone(err)
	}
	rotation, err := m.tenants.RotationSigner(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	out := new(identityGetRecommendedDidCredentialsOutput)
	out.Body.AlsoKnownAs = []string{}
	if c.Handle != "" {
		out.Body.AlsoKnownAs = []string{"at://" + c.Handle}
	}
	if recovery := c.Tenant.Settings.RecoveryDIDKey; recovery != "" && recovery != rotation.PublicDIDKey() {
		out.Body.RotationKeys = append(out.Body.RotationKeys, recovery)
	}
	out.Body.RotationKeys = append(out.Body.RotationKeys, rotation.PublicDIDKey())
	if out.Body.VerificationMethods, err = json.Marshal(map[string]string{identity.KeyAtproto: key.PublicDIDKey()}); err != nil {
		return nil, err
	}
	out.Body.Services, err = json.Marshal(map[string]plcService{identity.ServicePDS: {identity.ServicePDSType, c.Tenant.PublicURL}})
	return out, err
}
