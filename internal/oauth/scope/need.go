package scope

import (
	"mime"
	"strings"
)

// Need is what one call needs. The zero Need is covered by nothing.
type Need struct {
	kind    needKind
	name    string // collection, method, type or attribute
	aud     string
	actions Actions
	manage  bool
}

type needKind uint8

const (
	needNothing needKind = iota
	needAny
	needRepo
	needRPC
	needBlob
	needAccount
	needIdentity
)

// Any is needed by what every client may do.
func Any() Need { return Need{kind: needAny} }

// Repo is needed to do all of actions with records of a collection.
func Repo(collection string, actions Actions) Need {
	return Need{kind: needRepo, name: collection, actions: actions}
}

// RPC is needed to call a method of another service in the account's name. lxm may be "*": any method. aud is as it was
// asked for, a DID and the name of a service: without the name nothing but "*" covers it.
func RPC(lxm, aud string) Need { return Need{kind: needRPC, name: lxm, aud: aud} }

// Blob is needed to upload a file; contentType is as the request says, parameters included.
func Blob(contentType string) Need {
	bare, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		bare, _, _ = strings.Cut(contentType, ";")
		bare = strings.TrimSpace(bare)
	}
	return Need{kind: needBlob, name: strings.ToLower(bare)}
}

// Account is needed to read a part of the account (email, repo, status), or to change it.
func Account(attr string, manage bool) Need {
	return Need{kind: needAccount, name: attr, manage: manage}
}

// Identity is needed to change the handle, or with "*" anything of the identity.
func Identity(attr string) Need { return Need{kind: needIdentity, name: attr} }

// String is the scope to ask for: what a refusal names.
func (n Need) String() string {
	switch n.kind {
	case needAny:
		return Atproto
	case needRepo:
		return repo{[]string{n.name}, n.actions}.String()
	case needRPC:
		return rpc{[]string{n.name}, n.aud}.String()
	case needBlob:
		return blob{[]string{n.name}}.String()
	case needAccount:
		return accountScope{n.name, n.manage, false}.String()
	case needIdentity:
		return identityScope{n.name}.String()
	}
	return ""
}
