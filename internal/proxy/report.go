package proxy

import (
	"bytes"
	"context"
	"net/http"
)

// MethodCreateReport takes reports, and the appeals of those who were reported.
const MethodCreateReport = "com.atproto.moderation.createReport"

// maxReport is the longest answer to a report.
const maxReport = 256 << 10

// SendReport hands a report, as JSON, to a service in an account's name and gives the answer, read and decoded. header
// is the client's: of it goes what the lists name. Errors: as of [Proxy.Do] and [Answer.ReadAll].
// spec: lexicon com.atproto.moderation.createReport
func (p *Proxy) SendReport(ctx context.Context, caller Caller, target Target, header http.Header, report []byte) ([]byte, error) {
	answer, err := p.Do(ctx, &Call{
		Caller: caller, Target: target, NSID: MethodCreateReport, Method: http.MethodPost,
		Header: header, Body: Text(report), Length: int64(len(report)),
	})
	if err != nil {
		return nil, err
	}
	return answer.ReadAll(maxReport)
}

// Text is a request body that is in memory.
func Text(content []byte) Body { return &text{*bytes.NewReader(content)} }

type text struct{ bytes.Reader }

func (*text) Interrupt() {} // no Read of it waits
