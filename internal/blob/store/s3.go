package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/auroralocus/locus/internal/trace"
)

// s3 keeps objects in a bucket. An upload is spooled to a local file first: its name, its size and its digest are then
// known, parts are sent again without keeping them in memory, and a client that goes away leaves nothing in the bucket.
// What a crash leaves is named in the trash before the first byte is sent.
type s3 struct {
	once   *minio.Client // uploads: the retries are ours
	core   *minio.Core
	bucket string
	prefix string // "" or "…/"
	spools string // folder of files on their way
	answer time.Duration
}

const (
	s3Connect = 5 * time.Second
	// s3Part is the size of the parts of large objects; smaller ones go in one request.
	s3Part = 16 << 20
	// s3Tries bounds how often one request is sent, and how often a broken download goes on.
	s3Tries = 5
)

// newS3 opens a bucket. stall is how long a connection may be without a byte in either direction, answer how long S3 may
// take to begin an answer, with all tries.
func newS3(location string, keys Credentials, spools string, stall, answer time.Duration) (*s3, error) {
	p, err := parseS3(location)
	if err != nil {
		return nil, err
	}
	if keys.AccessKey == "" || keys.SecretKey == "" {
		return nil, fmt.Errorf("%w: no access key for %s", ErrLocation, p.bucket)
	}
	if err := os.MkdirAll(spools, 0o750); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLocation, err)
	}
	dialer := &net.Dialer{Timeout: s3Connect}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &watched{c, stall}, nil
		},
		TLSHandshakeTimeout:   s3Connect,
		ResponseHeaderTimeout: stall,
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       stall,
		DisableCompression:    true,
	}
	lookup := minio.BucketLookupPath
	if p.virtual {
		lookup = minio.BucketLookupDNS
	}
	if p.region == "" {
		p.region = "us-east-1" // or the client asks for it with every new bucket
	}
	opts := minio.Options{
		Creds: credentials.NewStaticV4(keys.AccessKey, keys.SecretKey, ""), Secure: p.secure, Region: p.region,
		Transport: trace.Way{Below: transport, Service: func(*http.Request) string { return "file store" }}, BucketLookup: lookup, MaxRetries: s3Tries,
	}
	core, err := minio.NewCore(p.host, &opts)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLocation, err)
	}
	opts.MaxRetries = 1
	once, err := minio.New(p.host, &opts)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLocation, err)
	}
	return &s3{core: core, once: once, bucket: p.bucket, prefix: p.prefix, spools: spools, answer: answer}, nil
}

// watched is a connection that fails when nothing moves on it.
type watched struct {
	net.Conn
	stall time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	_ = w.SetReadDeadline(time.Now().Add(w.stall))
	return w.Conn.Read(p)
}

func (w *watched) Write(p []byte) (int, error) {
	_ = w.SetWriteDeadline(time.Now().Add(w.stall))
	return w.Conn.Write(p)
}

func (s *s3) key(object string) string { return s.prefix + object }

// failure names what S3 did.
func (s *s3) failure(what string, err error) error {
	r := minio.ToErrorResponse(err)
	var timeout net.Error
	switch {
	case r.StatusCode == http.StatusNotFound && r.Code != "NoSuchBucket":
		return ErrMissing
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s: %w: %w", what, ErrTimeout, err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w: %w", what, ErrFailed, err)
}

func (s *s3) Announced() bool { return true }

func (s *s3) NewSpool() *Spool {
	return &Spool{create: func() (*os.File, string, error) {
		f, err := os.CreateTemp(s.spools, "upload-*")
		if err != nil {
			return nil, "", err
		}
		name := f.Name()
		if os.Remove(name) == nil {
			name = "" // without a name it is gone with the process
		}
		return f, name, nil
	}}
}

func (s *s3) Put(ctx context.Context, _ int64, object string, in *Spool) error {
	var err error
	for try := range s3Tries {
		// A reader of its own for each try: the client's own retry moves a reader that the connection before may still be
		// reading from.
		_, err = s.once.PutObject(ctx, s.bucket, s.key(object), in.reader(), in.Size, minio.PutObjectOptions{
			ContentType: "application/octet-stream", // whoever may read the bucket: nothing in it is a page
			PartSize:    s3Part, NumThreads: 2,
		})
		if err == nil {
			return nil
		}
		if try == s3Tries-1 || ctx.Err() != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond << try):
		}
	}
	return s.failure("store upload", err)
}

// sync: what S3 has acknowledged is durable.
func (s *s3) Sync(string, *Spool) error { return nil }

func (s *s3) Settle(int64, string) {}

func (s *s3) Doubt(int64, string) {} // the trash has it

func (s *s3) Recover(context.Context, Referrer) error { return nil }

func (s *s3) close() {}

// confirm only looks: an object's row is inserted when S3 has acknowledged all of it.
func (s *s3) Confirm(ctx context.Context, _ int64, object string) error {
	_, err := s.Stat(ctx, object)
	return err
}

// discard leaves it to the trash when S3 does not answer.
func (s *s3) Discard(ctx context.Context, _ int64, object string) {
	_ = s.core.RemoveObject(ctx, s.bucket, s.key(object), minio.RemoveObjectOptions{})
}

func (s *s3) Stat(ctx context.Context, object string) (int64, error) {
	info, err := s.core.StatObject(ctx, s.bucket, s.key(object), minio.StatObjectOptions{})
	if err != nil {
		return 0, s.failure("look for blob", err)
	}
	return info.Size, nil
}

// Presign signs a link that answers with the type and the name that this server would give.
func (s *s3) Presign(ctx context.Context, object, mimeType, name string, valid time.Duration) (string, error) {
	u, err := s.core.PresignedGetObject(ctx, s.bucket, s.key(object), valid, url.Values{
		"response-content-type":        {mimeType},
		"response-content-disposition": {`attachment; filename="` + name + `"`},
	})
	if err != nil {
		return "", s.failure("sign link", err)
	}
	return u.String(), nil
}

func (s *s3) Remove(ctx context.Context, objects []string) map[string]error {
	failed := map[string]error{}
	if len(objects) > 3 {
		names := make(chan minio.ObjectInfo, len(objects))
		for _, o := range objects {
			names <- minio.ObjectInfo{Key: s.key(o)}
		}
		close(names)
		for e := range s.core.RemoveObjects(ctx, s.bucket, names, minio.RemoveObjectsOptions{}) {
			if err := s.failure("delete blob", e.Err); !errors.Is(err, ErrMissing) {
				failed[strings.TrimPrefix(e.ObjectName, s.prefix)] = err
			}
		}
		if len(failed) == 0 || ctx.Err() != nil {
			return failed
		}
	}
	for _, o := range objects { // few, or a server that does not delete many at once
		if len(failed) > 0 && failed[o] == nil {
			continue
		}
		delete(failed, o)
		if err := s.core.RemoveObject(ctx, s.bucket, s.key(o), minio.RemoveObjectOptions{}); err != nil {
			if err := s.failure("delete blob", err); !errors.Is(err, ErrMissing) {
				failed[o] = err
			}
		}
	}
	return failed
}

func (s *s3) List(ctx context.Context, schema string, each func(Found) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing when each gives up
	for o := range s.core.Client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.key(schema + "/"), Recursive: true}) {
		if o.Err != nil {
			return s.failure("list blobs", o.Err)
		}
		if err := each(Found{strings.TrimPrefix(o.Key, s.prefix), o.Size, o.LastModified}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// sweep ends multipart uploads of blobs that nobody goes on with: they are no objects, and cost what objects cost.
func (s *s3) Sweep(ctx context.Context, before time.Time, _ Referrer) error {
	var failed []error
	for u := range s.core.Client.ListIncompleteUploads(ctx, s.bucket, s.prefix, true) {
		if u.Err != nil {
			return s.failure("list unfinished uploads", u.Err)
		}
		if u.Initiated.Before(before) && isObject(strings.TrimPrefix(u.Key, s.prefix)) {
			if err := s.core.AbortMultipartUpload(ctx, s.bucket, u.Key, u.UploadID); err != nil {
				failed = append(failed, s.failure("end unfinished upload", err))
			}
		}
	}
	return errors.Join(failed...)
}
