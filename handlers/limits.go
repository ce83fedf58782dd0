package handlers

import (
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/limit"
)

const (
	fiveMinutes = 5 * time.Minute
	day         = 24 * time.Hour
)

// The limits of one tenant. spec: behaviour of the reference server; docs/limits.md has them for people.
var (
	writes = xrpc.PerAccount(limit.Bucket{Name: "repo-write-hour", Points: 5000, Window: time.Hour}, limit.Bucket{Name: "repo-write-day", Points: 35_000, Window: day})

	// protectLimit is of methods that look at a password or a code.
	protectLimit = xrpc.PerAccount(limit.Bucket{Name: "protect-5m", Points: 30, Window: fiveMinutes}, limit.Bucket{Name: "protect-1d", Points: 300, Window: day})

	// codes is of methods that look at a mailed code.
	codes = xrpc.PerAccount(limit.Bucket{Points: 50, Window: fiveMinutes})

	limitRules = map[string]xrpc.LimitRule{
		"org.auroralocus.server.beginAuthenticator":         protectLimit,
		"org.auroralocus.server.confirmAuthenticator":       protectLimit,
		"org.auroralocus.server.createBackupCodes":          protectLimit,
		"org.auroralocus.server.confirmSession":             protectLimit,
		"org.auroralocus.server.deletePasskey":              protectLimit,
		"org.auroralocus.server.disableAuthenticator":       protectLimit,
		"org.auroralocus.server.setEmailFactor":             protectLimit,
		"com.atproto.repo.createRecord":                     writes,
		"com.atproto.repo.putRecord":                        writes,
		"com.atproto.repo.deleteRecord":                     writes,
		"com.atproto.repo.applyWrites":                      writes,
		"com.atproto.repo.uploadBlob":                       xrpc.PerAccount(limit.Bucket{Points: 1000, Window: day}),
		"com.atproto.server.createAccount":                  xrpc.PerAddress(limit.Bucket{Points: 100, Window: fiveMinutes}),
		"com.atproto.server.createSession":                  xrpc.PerIdentifier(limit.Bucket{Points: 30, Window: fiveMinutes}, limit.Bucket{Points: 300, Window: day}),
		"com.atproto.server.deleteAccount":                  xrpc.PerAddress(limit.Bucket{Points: 50, Window: fiveMinutes}),
		"com.atproto.server.requestPasswordReset":           xrpc.PerAddress(limit.Bucket{Points: 15, Window: time.Hour}, limit.Bucket{Points: 50, Window: day}),
		"com.atproto.server.resetPassword":                  xrpc.PerAddress(limit.Bucket{Points: 50, Window: fiveMinutes}),
		"com.atproto.server.reserveSigningKey":              xrpc.PerAddress(limit.Bucket{Points: 20, Window: fiveMinutes}, limit.Bucket{Points: 200, Window: day}),
		"com.atproto.server.requestAccountDelete":           xrpc.PerAccount(limit.Bucket{Points: 5, Window: time.Hour}, limit.Bucket{Points: 15, Window: day}),
		"com.atproto.server.requestEmailConfirmation":       xrpc.PerAccount(limit.Bucket{Points: 5, Window: time.Hour}, limit.Bucket{Points: 15, Window: day}),
		"com.atproto.server.requestEmailUpdate":             xrpc.PerAccount(limit.Bucket{Points: 5, Window: time.Hour}, limit.Bucket{Points: 15, Window: day}),
		"com.atproto.server.confirmEmail":                   codes,
		"com.atproto.server.updateEmail":                    codes,
		"com.atproto.identity.signPlcOperation":             codes,
		"com.atproto.identity.requestPlcOperationSignature": xrpc.PerAccount(limit.Bucket{Points: 5, Window: time.Hour}, limit.Bucket{Points: 15, Window: day}),
		"com.atproto.identity.refreshIdentity":              xrpc.PerAddress(limit.Bucket{Points: 30, Window: fiveMinutes}, limit.Bucket{Points: 500, Window: day}),
		"com.atproto.server.deactivateAccount":              xrpc.PerAccount(limit.Bucket{Points: 10, Window: fiveMinutes}, limit.Bucket{Points: 50, Window: day}),
		"com.atproto.identity.updateHandle":                 xrpc.PerAccount(limit.Bucket{Points: 10, Window: fiveMinutes}, limit.Bucket{Points: 50, Window: day}),
		"com.atproto.sync.getRepo":                          xrpc.PerAddress(limit.Bucket{Points: 6000, Window: fiveMinutes}),
	}
)

// The inputs of calls that do not cost exactly one point, and of calls that are counted for the account that is to be
// signed in.
func (*repoCreateRecordInput) LimitCost() int64 { return 3 }
func (*repoPutRecordInput) LimitCost() int64    { return 2 }
func (*repoDeleteRecordInput) LimitCost() int64 { return 1 }
func (in *repoApplyWritesInput) LimitCost() (n int64) {
	for _, w := range in.Body.Writes {
		switch {
		case w.Create != nil:
			n += 3
		case w.Update != nil:
			n += 2
		default:
			n++
		}
	}
	return n
}

func (in *serverCreateSessionInput) LimitIdentifier() string {
	return account.Identifier(in.Body.Identifier)
}
