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

// SetBlobStore says where a tenant's new files go; "" is the deployment's place. keys, if not nil, are kept for it. First a
// small file is written there, read and deleted, so that a place that does not work changes nothing. Errors: those of
// [blob.CheckLocation], [blob.Store.Try] and [tenant.Registry.Set].
func (a *Acts) SetBlobStore(ctx context.Context, t *tenant.Tenant, by Operator, place string, keys *blob.Credentials) error {
	if place != "" {
		if err := blob.CheckLocation(place); err != nil {
			return err
		}
	}
	if err := a.Blobs.Try(ctx, t.Schema, place, keys); err != nil {
		return err
	}
	detail := map[string]any{"place": place, "credentials": keys != nil}
	return a.noted(ctx, t, by, actBlobStore, deed{"", detail}, func() error {
		if keys != nil {
			if err := a.Blobs.SetCredentials(ctx, t.Schema, place, keys); err != nil {
				return err
			}
		}
		_, err := a.Tenants.Set(ctx, t.Hostname, map[string]string{"blob_store": place})
		return err
	})
}

// BeginBlobMove has a tenant's new files go to another place, as [Acts.SetBlobStore] does, and writes down that the others
// follow: [blob.Store.Move] moves them. It may be begun again. Errors: those of [blob.Store.Try] and [tenant.Registry.Set].
func (a *Acts) BeginBlobMove(ctx context.Context, t *tenant.Tenant, by Operator, to string) error {
	if err := a.Blobs.Try(ctx, t.Schema, to, nil); err != nil {
		return err
	}
	return a.noted(ctx, t, by, actBlobMove, deed{"", map[string]any{"to": to}}, func() error {
		_, err := a.Tenants.Set(ctx, t.Hostname, map[string]string{"blob_store": to})
		return err
	})
}

// AdoptBlobStore says that a place, as it is on this machine, is the one that the database means; empty takes it also when
// none of the files that are looked for is in it. Errors: those of [blob.CheckLocation] and [blob.Store.Adopt].
func (a *Acts) AdoptBlobStore(ctx context.Context, t *tenant.Tenant, by Operator, place string, empty bool) (found blob.Adopted, err error) {
	if place != "" {
		if err := blob.CheckLocation(place); err != nil {
			return found, err
		}
	}
	err = a.noted(ctx, t, by, actBlobAdopt, deed{"", map[string]any{"place": place, "empty": empty}}, func() (err error) {
		found, err = a.Blobs.Adopt(ctx, t.Schema, place, empty)
		return err
	})
	return found, err
}

// VerifyBlobs holds rows, stores, references and counters against each other. A repair is written down before it begins,
// whatever comes of it: it may be ended at any time, and what it did is done. Errors: those of [blob.Store.Verify].
func (a *Acts) VerifyBlobs(ctx context.Context, t *tenant.Tenant, by Operator, o blob.VerifyOptions, tell func(blob.Problem) error) (blob.Verified, error) {
	if o.Repair {
		detail := map[string]any{"repair": true, "deep": o.Deep}
		if err := a.noted(ctx, t, by, actBlobVerify, deed{"", detail}, func() error { return nil }); err != nil {
			return blob.Verified{}, err
		}
	}
	return a.Blobs.Verify(ctx, t.Schema, o, tell)
}
