package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"
)

func (s *s3) Open(ctx context.Context, object string) (io.ReadSeekCloser, int64, error) {
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
			return fmt.Errorf("%w: %w", ErrFailed, err)
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
