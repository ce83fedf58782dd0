package trace

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// mostAnswer bounds what is read of the collector's answer.
const mostAnswer = 64 << 10

// errCollector: the collector did not take what it was sent.
var errCollector = errors.New("the collector refuses")

// away is an error that may be over soon: the same spans may be sent again.
type away struct {
	error
	after time.Duration // the collector wants that much time; 0: it did not say
}

func (a *away) Unwrap() error { return a.error }

// partly: the collector took the others.
type partly struct{ refused int64 }

func (p *partly) Error() string { return fmt.Sprintf("%v: %d spans", errCollector, p.refused) }

// uplink sends spans by OTLP over HTTP, in protobuf. It is not the SDK's own, which needs all of gRPC. One sends at a time.
type uplink struct {
	cfg    Config
	packed bytes.Buffer
	packer *gzip.Writer
}

// Start and Stop implement otlptrace.Client.
func (u *uplink) Start(context.Context) error { return nil }
func (u *uplink) Stop(context.Context) error  { return nil }

// UploadTraces implements otlptrace.Client.
func (u *uplink) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans}) // of the same form as a request to export
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	r, err := u.request(ctx, body)
	if err != nil {
		return err
	}
	resp, err := u.cfg.HTTP.Do(r)
	if err != nil {
		var named *url.Error
		if errors.As(err, &named) {
			err = named.Err // without the URL, which may hold a token
		}
		return &away{error: err}
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, mostAnswer)) // an answer that is cut says less, and nothing else
	// These are the retryable codes of OTLP/HTTP.
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &away{fmt.Errorf("%w: status %d", errCollector, resp.StatusCode), u.wait(resp.Header.Get("Retry-After"))}
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%w: status %d", errCollector, resp.StatusCode)
	}
	if n := rejected(answer); n > 0 {
		return &partly{n}
	}
	return nil
}

// request is compressed unless the operator wants it plain: spans are mostly the same words.
func (u *uplink) request(ctx context.Context, body []byte) (*http.Request, error) {
	if !u.cfg.Plain {
		u.packed.Reset()
		if u.packer == nil {
			u.packer, _ = gzip.NewWriterLevel(&u.packed, gzip.BestSpeed) // a level that there is
		} else {
			u.packer.Reset(&u.packed)
		}
		_, _ = u.packer.Write(body) // to memory
		_ = u.packer.Close()
		body = bytes.Clone(u.packed.Bytes()) // a transport may read it after it has given up
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range u.cfg.Headers {
		r.Header.Set(name, value)
	}
	if !u.cfg.Plain {
		r.Header.Set("Content-Encoding", "gzip")
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("User-Agent", "aurora-locus")
	return r, nil
}

// wait reads Retry-After.
func (u *uplink) wait(text string) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return at.Sub(u.cfg.Now())
	}
	return 0
}

// rejected is how many spans of a request the collector's answer says that it did not take: field 1 of field 1.
func rejected(answer []byte) int64 {
	partial := field(answer, 1)
	v, n := protowire.ConsumeVarint(field(partial, 1))
	if n < 0 {
		return 0
	}
	return int64(v)
}

// field finds the first field of a number in a message: of a number in it its bytes, of a message the message.
func field(message []byte, number protowire.Number) []byte {
	for len(message) > 0 {
		at, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil
		}
		message = message[n:]
		n = protowire.ConsumeFieldValue(at, kind, message)
		if n < 0 {
			return nil
		}
		if at == number {
			if kind == protowire.BytesType {
				inside, _ := protowire.ConsumeBytes(message)
				return inside
			}
			return message[:n]
		}
		message = message[n:]
	}
	return nil
}
