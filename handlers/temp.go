package handlers

import (
	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/auth"
)

// tempMethods are com.atproto.temp.*, as far as they are of use here.
type tempMethods struct {
	db *db.DB
}

func (m tempMethods) register(g *group) {
	account(g, query("com.atproto.temp.checkSignupQueue").takes(auth.Std|auth.OrQueued), noOAuth, m.checkSignupQueue)
}
