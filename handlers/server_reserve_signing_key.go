package handlers

import (
	"context"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
)

// reserveSigningKey makes the key of an account that is to move here. Asked again for the same DID it gives the same
// key, until it expires. Anybody may ask, so there are only so many, and who asks for many loses the oldest.
// spec: lexicon com.atproto.server.reserveSigningKey
func (m serverMethods) reserveSigningKey(ctx context.Context, v visitor, in *serverReserveSigningKeyInput) (*serverReserveSigningKeyOutput, error) {
	r, err := accounts.NewReservation(m.keys, v.Tenant, string(in.Body.DID), m.now())
	if err != nil {
		return nil, err
	}
	var public string
	err = m.db.Tenant(v.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
		public, err = r.Store(ctx, q, v.path())
		return err
	})
	if err != nil {
		return nil, err
	}
	return &serverReserveSigningKeyOutput{Body: serverReserveSigningKeyOutputBody{SigningKey: public}}, nil
}
