package act

import (
	"context"

	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	actBlobStore  = "blob store"
	actBlobMove   = "blob move"
	actBlobAdopt  = "blob adopt-folder"
	actBlobVerify = "blob verify"
)

// SetBlobStore says where a tenant's new files go; "" is the deployment's. keys, if not nil, are kept for it. First a
// small file is written there, read and deleted, so that a store that does not work changes nothing. Errors: those of
// [blob.CheckLocation], [blob.Stores.Try] and [tenant.Registry.Set].
func (a *Acts) SetBlobStore(ctx context.Context, t *tenant.Tenant, by Operator, location string, keys *blob.Credentials) error {
	if location != "" {
		if err := blob.CheckLocation(location); err != nil {
			return err
		}
	}
	if err := a.Blobs.Stores.Try(ctx, t.Schema, location, keys); err != nil {
		return err
	}
	detail := map[string]any{"store": location, "credentials": keys != nil}
	return a.noted(ctx, t, by, actBlobStore, deed{"", detail}, func() error {
		if keys != nil {
			if err := a.Blobs.Stores.SetCredentials(ctx, t.Schema, location, keys); err != nil {
				return err
			}
		}
		_, err := a.Tenants.Set(ctx, t.Hostname, map[string]string{"blob_store": location})
		return err
	})
}

// BeginBlobMove has a tenant's new files go to another store, as [Acts.SetBlobStore] does, and writes down that the others
// follow: [blob.Blobs.Move] moves them. It may be begun again. Errors: those of [blob.Stores.Try] and [tenant.Registry.Set].
func (a *Acts) BeginBlobMove(ctx context.Context, t *tenant.Tenant, by Operator, to string) error {
	if err := a.Blobs.Stores.Try(ctx, t.Schema, to, nil); err != nil {
		return err
	}
	return a.noted(ctx, t, by, actBlobMove, deed{"", map[string]any{"to": to}}, func() error {
		_, err := a.Tenants.Set(ctx, t.Hostname, map[string]string{"blob_store": to})
		return err
	})
}

// AdoptBlobStore says that a store, as it is on this machine, is the one that the database means; empty takes it also when
// none of the files that are looked for is in it. Errors: those of [blob.CheckLocation] and [blob.Stores.Adopt].
func (a *Acts) AdoptBlobStore(ctx context.Context, t *tenant.Tenant, by Operator, location string, empty bool) (found blob.Adopted, err error) {
	if location != "" {
		if err := blob.CheckLocation(location); err != nil {
			return found, err
		}
	}
	err = a.noted(ctx, t, by, actBlobAdopt, deed{"", map[string]any{"store": location, "empty": empty}}, func() (err error) {
		found, err = a.Blobs.Stores.Adopt(ctx, t.Schema, location, empty)
		return err
	})
	return found, err
}

// VerifyBlobs holds rows, stores, references and counters against each other. A repair is written down before it
// begins, because it may be ended at any time, and what it did until then stays done. Errors: those of
// [blob.Blobs.Verify].
func (a *Acts) VerifyBlobs(ctx context.Context, t *tenant.Tenant, by Operator, o blob.VerifyOptions, tell func(blob.Problem) error) (blob.Verified, error) {
	if o.Repair {
		detail := map[string]any{"repair": true, "deep": o.Deep}
		if err := a.noted(ctx, t, by, actBlobVerify, deed{"", detail}, func() error { return nil }); err != nil {
			return blob.Verified{}, err
		}
	}
	return a.Blobs.Verify(ctx, t.Schema, o, tell)
}
