package store

import (
	"context"
	"strings"

	"github.com/minio/minio-go/v7"
)

// near: a request for each use would double them, and a bucket is not unmounted. Its label is looked for before what is
// not in it is called lost, and what nobody knows of an orphan.
func (s *s3) near() bool { return false }

func (s *s3) Where() string { return "bucket " + s.bucket + " of " + s.core.EndpointURL().Host }

func (s *s3) hasLabel(ctx context.Context, id string) error {
	_, err := s.Stat(ctx, LabelPrefix+id)
	return err
}

func (s *s3) offerLabel(ctx context.Context, id string) error {
	return s.putLabel(ctx, LabelPrefix+id+labelOffer)
}

func (s *s3) putLabel(ctx context.Context, name string) error {
	_, err := s.core.PutObject(ctx, s.bucket, s.key(name), strings.NewReader(labelText), int64(len(labelText)), "", "", minio.PutObjectOptions{})
	if err != nil {
		return s.failure("label bucket", err)
	}
	return nil
}

func (s *s3) fixLabel(ctx context.Context, id string) error {
	if _, err := s.Stat(ctx, LabelPrefix+id+labelOffer); err != nil {
		return err
	}
	if err := s.putLabel(ctx, LabelPrefix+id); err != nil {
		return err
	}
	s.dropLabel(ctx, id)
	return nil
}

func (s *s3) dropLabel(ctx context.Context, id string) {
	_ = s.core.RemoveObject(ctx, s.bucket, s.key(LabelPrefix+id+labelOffer), minio.RemoveObjectOptions{})
}

// Labels says nothing of strangers' labels: deployments may share a bucket, as long as their tenants' schemas differ.
func (s *s3) Labels(context.Context) ([]string, error) { return nil, nil }

func (s *s3) prepare(string) error { return nil }
