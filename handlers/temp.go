package handlers

import (
	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/xrpc"
)

// tempMethods are com.atproto.temp.*, as far as they are of use here.
type tempMethods struct {
	db *db.DB
}

func (m tempMethods) register(g *xrpc.Group) {
	xrpc.Account(g, xrpc.Query("com.atproto.temp.checkSignupQueue").Takes(auth.Std|auth.OrQueued), noOAuth, m.checkSignupQueue)
}
