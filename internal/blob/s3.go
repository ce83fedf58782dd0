package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
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
	// s3Answer is how long one who reads waits for S3 to begin, with all tries: their client waits too, and is to hear
	// what is wrong before it gives up.
	s3Answer = 20 * time.Second
)

// s3Place is a parsed location: s3://bucket/prefix?endpoint=https://host:port&region=name&style=path|virtual
type s3Place struct {
	bucket, prefix, host, region string
	secure, virtual              bool
}

func parseS3(location string) (p s3Place, err error) {
	bad := func(why string) (s3Place, error) { return p, fmt.Errorf("%w: %.200q: %s", ErrLocation, location, why) }
	u, err := url.Parse(location)
	if err != nil || u.Scheme != "s3" || u.User != nil || u.Fragment != "" {
		return bad("want s3://bucket/prefix?endpoint=https://host&region=name")
	}
	if p.bucket = u.Host; len(p.bucket) < 3 || len(p.bucket) > 63 {
		return bad("a bucket's name has 3 to 63 characters")
	}
	if p.prefix = strings.Trim(u.Path, "/"); p.prefix != "" {
		if path.Clean(p.prefix) != p.prefix {
			return bad("the prefix is not a plain path")
		}
		p.prefix += "/"
	}
	q := u.Query()
	endpoint := "https://s3.amazonaws.com"
	for key, values := range q {
		switch key {
		case "endpoint":
			endpoint = values[0]
		case "region":
			p.region = values[0]
		case "style":
			if p.virtual = values[0] == "virtual"; !p.virtual && values[0] != "path" {
				return bad("style is path or virtual")
			}
		default:
			return bad("unknown option " + key)
		}
	}
	e, err := url.Parse(endpoint)
	if err != nil || e.Scheme != "https" && e.Scheme != "http" || e.Host == "" || strings.Trim(e.Path, "/") != "" || e.User != nil {
		return bad("endpoint is not http(s)://host")
	}
	p.host, p.secure = e.Host, e.Scheme == "https"
	return p, nil
}

// newS3 opens a place. stall is how long a connection may be without a byte in either direction.
func newS3(location string, keys Credentials, spools string, stall time.Duration) (*s3, error) {
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
		Transport: transport, BucketLookup: lookup, MaxRetries: s3Tries,
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
	return &s3{core: core, once: once, bucket: p.bucket, prefix: p.prefix, spools: spools, answer: s3Answer}, nil
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
		return errMissing
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s: %w: %w", what, ErrStoreTimeout, err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w: %w", what, ErrStore, err)
}

func (s *s3) announced() bool { return true }

func (s *s3) newSpool() *spool {
	return &spool{create: func() (*os.File, string, error) {
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

func (s *s3) put(ctx context.Context, _ int64, object string, in *spool) error {
	var err error
	for try := range s3Tries {
		// A reader of its own for each try: the client's own retry moves a reader that the connection before may still be
		// reading from.
		_, err = s.once.PutObject(ctx, s.bucket, s.key(object), in.reader(), in.size, minio.PutObjectOptions{
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
func (s *s3) sync(string, *spool) error { return nil }

func (s *s3) settle(int64, string) {}

func (s *s3) doubt(int64, string) {} // the trash has it

func (s *s3) recover(context.Context, referrer) error { return nil }

func (s *s3) close() {}

// confirm only looks: an object's row is inserted when S3 has acknowledged all of it.
func (s *s3) confirm(ctx context.Context, _ int64, object string) error {
	_, err := s.stat(ctx, object)
	return err
}

// discard leaves it to the trash when S3 does not answer.
func (s *s3) discard(ctx context.Context, _ int64, object string) {
	_ = s.core.RemoveObject(ctx, s.bucket, s.key(object), minio.RemoveObjectOptions{})
}

func (s *s3) stat(ctx context.Context, object string) (int64, error) {
	info, err := s.core.StatObject(ctx, s.bucket, s.key(object), minio.StatObjectOptions{})
	if err != nil {
		return 0, s.failure("look for blob", err)
	}
	return info.Size, nil
}

// presigned is a link that answers with the type and the name that getBlob would give.
func (s *s3) presigned(ctx context.Context, object, mimeType, name string) (string, error) {
	u, err := s.core.PresignedGetObject(ctx, s.bucket, s.key(object), presignedTime, url.Values{
		"response-content-type":        {mimeType},
		"response-content-disposition": {`attachment; filename="` + name + `"`},
	})
	if err != nil {
		return "", s.failure("sign link", err)
	}
	return u.String(), nil
}

func (s *s3) open(ctx context.Context, object string) (io.ReadSeekCloser, int64, error) {
	r := &s3Reader{ctx: ctx, s3: s, object: object, size: -1}
	if err := r.request(); err != nil {
		return nil, 0, err
	}
	return r, r.size, nil
}

// s3Reader reads an object. Where it is read from decides what is asked for; a connection that breaks is taken up again.
type s3Reader struct {
	ctx    context.Context
	s3     *s3
	object string
	size   int64
	at     int64         // where the reader stands
	body   io.ReadCloser // what comes at bodyAt; nil: nothing asked for
	bodyAt int64
	tries  int
}

func (r *s3Reader) request() error {
	var opts minio.GetObjectOptions
	if r.at > 0 {
		if err := opts.SetRange(r.at, 0); err != nil {
			return fmt.Errorf("%w: %w", ErrStore, err)
		}
	}
	ctx, cancel := context.WithCancel(r.ctx)
	late := time.AfterFunc(r.s3.answer, cancel)
	body, info, _, err := r.s3.core.GetObject(ctx, r.s3.bucket, r.s3.key(r.object), opts)
	if !late.Stop() {
		if err == nil {
			_ = body.Close()
		}
		err = context.DeadlineExceeded
	}
	if err != nil {
		cancel()
		return r.s3.failure("read blob", err)
	}
	r.body, r.bodyAt = &answering{body, cancel}, r.at
	if r.size < 0 {
		r.size = info.Size
	}
	return nil
}

// answering is the body of an answer, and what ends its request.
type answering struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (a *answering) Close() error {
	defer a.cancel()
	return a.ReadCloser.Close()
}

func (r *s3Reader) Read(p []byte) (int, error) {
	for {
		if r.at >= r.size {
			return 0, io.EOF
		}
		if r.body != nil && r.bodyAt != r.at {
			_ = r.body.Close()
			r.body = nil
		}
		if r.body == nil {
			if err := r.request(); err != nil {
				return 0, err
			}
		}
		n, err := r.body.Read(p)
		r.at += int64(n)
		r.bodyAt = r.at
		if n > 0 || err == nil {
			return n, nil
		}
		_ = r.body.Close()
		r.body = nil
		if r.at >= r.size {
			return 0, io.EOF
		}
		if r.tries++; r.tries > s3Tries || r.ctx.Err() != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, r.s3.failure("read blob", err)
		}
	}
}

func (r *s3Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	r.at = offset
	return offset, nil
}

func (r *s3Reader) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}

func (s *s3) remove(ctx context.Context, objects []string) map[string]error {
	failed := map[string]error{}
	if len(objects) > 3 {
		names := make(chan minio.ObjectInfo, len(objects))
		for _, o := range objects {
			names <- minio.ObjectInfo{Key: s.key(o)}
		}
		close(names)
		for e := range s.core.RemoveObjects(ctx, s.bucket, names, minio.RemoveObjectsOptions{}) {
			if err := s.failure("delete blob", e.Err); !errors.Is(err, errMissing) {
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
			if err := s.failure("delete blob", err); !errors.Is(err, errMissing) {
				failed[o] = err
			}
		}
	}
	return failed
}

func (s *s3) list(ctx context.Context, schema string, each func(found) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing when each gives up
	for o := range s.core.Client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.key(schema + "/"), Recursive: true}) {
		if o.Err != nil {
			return s.failure("list blobs", o.Err)
		}
		if err := each(found{strings.TrimPrefix(o.Key, s.prefix), o.Size, o.LastModified}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// sweep ends multipart uploads of blobs that nobody goes on with: they are no objects, and cost what objects cost.
func (s *s3) sweep(ctx context.Context, before time.Time, _ referrer) error {
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
