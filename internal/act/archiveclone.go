package act

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// cloneHold is how long files of the tenant that is copied are kept: the copy reads them.
const cloneHold = 6 * time.Hour

// cloneRows is the file in which a clone's rows are on their way.
const cloneRows = "locus-clone-*"

// Clone makes a copy of a tenant for trying things out, under another hostname: the same people, records and files, and
// keys of its own. What it signs nobody takes for theirs, even if it got out: the tenant is isolated, which keeps it from
// telling relays, sending mail, changing DIDs and calling other services. Sessions are not copied; passwords and app
// passwords work.
//
// The tenant that is copied is served meanwhile. work names the job that does it. A clone that did not end is begun anew by the same call.
func (a *Archives) Clone(ctx context.Context, by Operator, t *tenant.Tenant, hostname string, node int32, work string, progress archive.Progress) (out Restored, err error) {
	kept, err := a.kept(ctx, t)
	if err != nil {
		return out, err
	}
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	rows, err := os.CreateTemp("", cloneRows) // mode 0600; secrets in it stay sealed
	if err != nil {
		return out, fmt.Errorf("keep the rows on their way: %w", err)
	}
	defer rows.Close()
	if err := os.Remove(rows.Name()); err != nil { // at once: a process that is killed leaves nothing
		return out, fmt.Errorf("keep the rows on their way: %w", err)
	}
	held := a.now().Add(cloneHold).UTC().Truncate(time.Microsecond)
	if err := blob.Hold(ctx, a.db.Tenant(t.Schema).Q(), held); err != nil {
		return out, err
	}
	if _, _, err := a.store.Dump(ctx, t.Schema, kept, rows, archive.Options{Blobs: archive.BlobsReferred, Progress: progress}); err != nil {
		return out, err
	}
	if out.Header, _, err = a.check(ctx, rows); err != nil {
		return out, err
	}
	name := t.Settings.DisplayName
	if name == "" {
		name = t.Hostname
	}
	r := Restore{Hostname: hostname, Node: node, Progress: progress, Job: work, Settings: map[string]string{
		"isolated": "true", "crawlers": "", "signup": string(tenant.SignupClosed), "display_name": clip(name, 80) + " (a copy)",
	}, Open: func() (io.ReadCloser, error) {
		_, err := rows.Seek(0, io.SeekStart)
		return io.NopCloser(rows), err
	}, fresh: true}
	living, err := a.tenants.Get(ctx, hostname)
	if err == nil && living.State != tenant.Provisioning {
		return out, fmt.Errorf("%w: %s", ErrLiving, living.Hostname)
	}
	if err != nil && !errors.Is(err, tenant.ErrNotFound) {
		return out, err
	}
	if err := a.restoreNew(ctx, by, r, &out); err != nil {
		return out, err
	}
	return out, a.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := q.DeleteFilesHeld(ctx, held); err != nil {
			return err
		}
		return record(ctx, q, a.now(), by, actTenantClone, deed{out.Tenant.Hostname, map[string]any{"of": t.Hostname}})
	})
}

func clip(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most])
	}
	return text
}

func (a *Archives) check(ctx context.Context, rows *os.File) (archive.Header, archive.Manifest, error) {
	if _, err := rows.Seek(0, io.SeekStart); err != nil {
		return archive.Header{}, archive.Manifest{}, err
	}
	return a.store.Check(ctx, rows, nil)
}

// ownKeys gives a copy keys that nobody knows: of the tenant, and of each account. What the accounts have signed so far is
// signed anew when consumers are told of them.
func (a *Archives) ownKeys(ctx context.Context, s db.Schema, progress archive.Progress) error {
	keys, q, now := a.store.Keys, a.db.Tenant(s).Q(), a.now().UTC().Truncate(time.Microsecond)
	sealed, public, err := keys.GenerateRotationKey(s.String())
	if err != nil {
		return err
	}
	if err := q.UpsertSecret(ctx, tenantdb.UpsertSecretParams{Purpose: tenant.SecretPLCRotation, Sealed: sealed, Public: public, CreatedAt: now}); err != nil {
		return fmt.Errorf("rotation key: %w", err)
	}
	for _, purpose := range []string{tenant.SecretJWT, tenant.SecretDPoP} {
		if sealed, err = keys.GenerateMACKey(s.String(), purpose); err != nil {
			return err
		}
		if err := q.UpsertSecret(ctx, tenantdb.UpsertSecretParams{Purpose: purpose, Sealed: sealed, CreatedAt: now}); err != nil {
			return fmt.Errorf("secret %s: %w", purpose, err)
		}
	}
	for _, purpose := range []string{tenant.SecretJWT, tenant.SecretDPoP, keyring.PurposeOAuth} {
		if _, err := q.DeleteReplacedSecrets(ctx, purpose); err != nil {
			return fmt.Errorf("replaced secrets %s: %w", purpose, err)
		}
	}
	for _, purpose := range []string{keyring.PurposeOAuth, tenant.SecretSMTP} {
		if _, err := q.DeleteSecret(ctx, purpose); err != nil {
			return fmt.Errorf("secret %s: %w", purpose, err)
		}
	}
	all := &states{q: q}
	for n := int64(1); ; n++ {
		who, err := all.next(ctx)
		if err != nil || who == nil {
			return err
		}
		signer, err := keys.GenerateSigningKey()
		if err != nil {
			return err
		}
		if sealed, err = keys.SealSigningKey(s.String(), who.AID, signer); err != nil {
			return err
		}
		if err := q.InsertSigningKey(ctx, tenantdb.InsertSigningKeyParams{AID: who.AID, Sealed: sealed, Public: signer.PublicDIDKey(), CreatedAt: now}); err != nil {
			return fmt.Errorf("key of %s: %w", who.DID, err)
		}
		if who.Unheard && len(who.HeadCID) > 0 { // of the others consumers are told, which signs
			if err := a.resign(ctx, s, firehose.LostActor{AID: who.AID, DID: who.DID}, signer); err != nil {
				return err
			}
		}
		all.take()
		progress("making keys", n, 0)
	}
}

// resign signs the repository of an account of which nobody hears.
func (a *Archives) resign(ctx context.Context, s db.Schema, who firehose.LostActor, signer repo.Signer) error {
	return a.db.Tenant(s).Tx(ctx, func(q *tenantdb.Queries) error {
		_, _, err := repodb.Resign(ctx, q, who.AID, signer, a.now())
		if err != nil {
			return fmt.Errorf("sign the repository of %s: %w", who.DID, err)
		}
		return nil
	})
}
