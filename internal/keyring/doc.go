// Package keyring is the one room that sees private keys.
//
// Everything secret a tenant owns — its accounts' signing keys, its PLC rotation key, the keys of its tokens — lies in
// Postgres sealed: AES-256-GCM under a key derived from the deployment's master key and the tenant's schema, with
// schema, owner and purpose authenticated beside it. A sealed value moved to another row, another account or another
// tenant does not open.
//
// What leaves this package is a handle that can sign or authenticate, never the key: [Signer] for K-256 keys, [MAC] for
// token secrets. All types print as "redacted", whatever the verb; the package logs nothing.
//
// The package is pure: it reads no database and knows no tenant. Callers hand it sealed bytes and the names they are
// bound to.
package keyring

import "errors"

// Errors of this package. They are wrapped with the purpose and never carry key material, plaintext or ciphertext.
var (
	// ErrMaster: the text or file of a master key is malformed.
	ErrMaster = errors.New("malformed master key")
	// ErrMasterPermissions: the master key's file can be read by others.
	ErrMasterPermissions = errors.New("master key file must be readable by its owner only (chmod 600)")
	// ErrUnknownMaster: sealed under a master key this keyring does not hold.
	ErrUnknownMaster = errors.New("sealed under an unknown master key")
	// ErrRefusedMaster: sealed under a master key that the deployment has left behind.
	ErrRefusedMaster = errors.New("sealed under a master key that is not used any more")
	// ErrOtherMaster: two different keys have the same id.
	ErrOtherMaster = errors.New("another master key has this id")
	// ErrSealed: too short, of an unknown version, changed, or bound to something else. These are one error on purpose.
	ErrSealed = errors.New("sealed secret does not open")
	// ErrBinding: the names to bind a secret to are empty or too long.
	ErrBinding = errors.New("bad binding of a secret")
	// ErrKeyPurpose: Open was asked for a secret that never leaves the keyring.
	ErrKeyPurpose = errors.New("this secret does not leave the keyring")
)
