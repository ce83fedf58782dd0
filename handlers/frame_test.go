package handlers

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/go-json-experiment/json"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// The frame is tested with real methods of the catalogue whose answers need no storage, and a witness in the
// place of internal/auth that records when it was asked.

type witness struct{ asked int }

func (w *witness) Account(_ context.Context, _ *tenant.Tenant, authorization string, _ auth.Proof, accept auth.Accept) (auth.Account, error) {
	w.asked++
	switch authorization {
	case "":
		return auth.Account{}, auth.ErrMissing
	case "Bearer alice":
		return auth.Account{AID: 1, DID: "did:plc:alice", Handle: "alice.test", Scope: auth.ScopeAccess}, nil
	case "Bearer old":
		return auth.Account{}, auth.ErrExpired
	case "Bearer broken":
		return auth.Account{}, errors.New("dial tcp 10.1.2.3: secret detail")
	}
	return auth.Account{}, auth.ErrUnverified
}

func (w *witness) Refresh(_ context.Context, _ *tenant.Tenant, authorization string, expiredToo bool) (auth.Refresh, error) {
	if authorization == "Bearer past" && expiredToo {
		return auth.Refresh{DID: "did:plc:alice", Expired: true}, nil
	}
	return auth.Refresh{}, auth.ErrExpired
}

func (w *witness) Operator(_ context.Context, _ *tenant.Tenant, authorization string) (auth.Operator, error) {
	if authorization == "Basic right" {
		return auth.Operator{Name: "admin", Role: auth.RoleOwner}, nil
	}
	return auth.Operator{}, auth.ErrOperator
}

func (w *witness) Nonce(context.Context, *tenant.Tenant) []string { return []string{"next"} }

func (w *witness) Hosted(_ context.Context, _ *tenant.Tenant, did string, _ auth.Accept) (auth.Account, error) {
	return auth.Account{AID: 1, DID: did, Scope: auth.ScopeService}, nil
}

func (w *witness) Read(_ *tenant.Tenant, authorization, _ string) (auth.Claim, error) {
	return auth.Claim{Issuer: authorization}, nil
}

func (w *witness) Prove(_ context.Context, _ identity.Asker, c auth.Claim) (auth.Service, error) {
	return auth.Service{Issuer: c.Issuer}, nil
}

func testDeps(w *witness) Deps {
	alpha := &tenant.Tenant{ID: 1, Hostname: "alpha.test", ServiceDID: "did:web:alpha.test", HandleDomains: []string{"alpha.test"}}
	return Deps{
		Log:  slog.New(slog.DiscardHandler),
		Auth: w,
		ByHost: func(_ context.Context, host string) (tenant.Match, error) {
			switch host {
			case "alpha.test":
				return tenant.Match{Tenant: alpha, Kind: tenant.Canonical}, nil
			case "alice.alpha.test":
				return tenant.Match{Tenant: alpha, Kind: tenant.HandleHost, Handle: host}, nil
			}
			return tenant.Match{}, tenant.ErrUnknownHost
		},
		Version: "test",
	}
}

type exampleMethods struct{ log *slog.Logger }

func (m exampleMethods) describeServer(_ context.Context, c xrpc.Visitor, _ *serverDescribeServerInput) (*serverDescribeServerOutput, error) {
	out := new(serverDescribeServerOutput)
	out.Body.DID = xrpc.DID(c.Tenant.ServiceDID)
	out.Body.AvailableUserDomains = c.Tenant.UserDomains()
	return out, nil
}

func (m exampleMethods) createRecord(_ context.Context, c xrpc.AccountCaller, in *repoCreateRecordInput) (*repoCreateRecordOutput, error) {
	if in.Body.Rkey == "panic" {
		panic("a bug")
	}
	if in.Body.Rkey == "fails" {
		return nil, errors.New("insert into t_alpha.record: secret detail")
	}
	out := new(repoCreateRecordOutput)
	out.Body.URI = xrpc.AtURI("at://" + c.DID + "/" + string(in.Body.Collection) + "/" + string(in.Body.Rkey))
	out.Body.CID = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"
	out.Body.Commit = &repoDefsCommitMeta{CID: out.Body.CID, Rev: "3jqfcqzm3fo2j"}
	out.Body.ValidationStatus = string(in.Body.Record)
	return out, nil
}

func (m exampleMethods) applyWrites(_ context.Context, _ xrpc.AccountCaller, in *repoApplyWritesInput) (*repoApplyWritesOutput, error) {
	out := new(repoApplyWritesOutput)
	for _, w := range in.Body.Writes {
		switch {
		case w.Create != nil:
			out.Body.Results = append(out.Body.Results, repoApplyWritesResult{CreateResult: &repoApplyWritesCreateResult{URI: xrpc.AtURI("at://x/" + string(w.Create.Collection)), CID: "bafy"}})
		case w.Delete != nil:
			out.Body.Results = append(out.Body.Results, repoApplyWritesResult{DeleteResult: &repoApplyWritesDeleteResult{}})
		}
	}
	return out, nil
}

func (m exampleMethods) putRecord(_ context.Context, _ xrpc.AccountCaller, in *repoPutRecordInput) (*repoPutRecordOutput, error) {
	out := new(repoPutRecordOutput)
	switch s := in.Body.SwapRecord; {
	case s.Null:
		out.Body.ValidationStatus = "null"
	case s.Present:
		out.Body.ValidationStatus = string(s.Value)
	default:
		out.Body.ValidationStatus = "absent"
	}
	return out, nil
}

func (m exampleMethods) listRecords(_ context.Context, _ xrpc.Visitor, in *repoListRecordsInput) (*repoListRecordsOutput, error) {
	out := new(repoListRecordsOutput)
	for range in.Limit {
		out.Body.Records = append(out.Body.Records, repoListRecordsRecord{Value: xrpc.RawJSON(`{"n":9007199254740993}`)})
	}
	return out, nil
}

func (m exampleMethods) getRepo(_ context.Context, v xrpc.ViewerCaller, in *syncGetRepoInput) (*syncGetRepoOutput, error) {
	return xrpc.Stream(xrpc.CarType, nil, func(w io.Writer) error {
		if in.Since != "" {
			return xrpc.Invalid("since is not known")
		}
		if v.Sees(string(in.DID)) {
			_, _ = io.WriteString(w, "hidden ")
		}
		_, err := io.WriteString(w, "archive of "+string(in.DID))
		return err
	}), nil
}

func (m exampleMethods) getBlocks(_ context.Context, _ xrpc.Visitor, in *syncGetBlocksInput) (*syncGetBlocksOutput, error) {
	return xrpc.Stream(xrpc.CarType, nil, func(w io.Writer) error {
		if _, err := io.WriteString(w, strings.Repeat("x", 100<<10)); err != nil {
			return err
		}
		if len(in.Cids) == 2 {
			return errors.New("block lost on the way")
		}
		return nil
	}), nil
}

func (m exampleMethods) uploadBlob(_ context.Context, _ xrpc.AccountCaller, in *repoUploadBlobInput) (*repoUploadBlobOutput, error) {
	b, err := io.ReadAll(in.Stream())
	if err != nil {
		return nil, err
	}
	out := new(repoUploadBlobOutput)
	out.Body.Blob = xrpc.Blob{Type: "blob", MimeType: in.ContentType(), Size: int64(len(b))}
	return out, nil
}

func (m exampleMethods) createSession(_ context.Context, _ xrpc.Visitor, in *serverCreateSessionInput) (*serverCreateSessionOutput, error) {
	return nil, xrpc.Refuse(http.StatusUnauthorized, "", "Invalid identifier or password")
}

func (m exampleMethods) deleteSession(_ context.Context, c xrpc.RefreshCaller, _ *serverDeleteSessionInput) (*serverDeleteSessionOutput, error) {
	return new(serverDeleteSessionOutput), nil
}

func (m exampleMethods) createInviteCode(_ context.Context, c xrpc.OperatorCaller, in *serverCreateInviteCodeInput) (*serverCreateInviteCodeOutput, error) {
	out := new(serverCreateInviteCodeOutput)
	out.Body.Code = c.Name
	return out, nil
}

func (m exampleMethods) importRepo(_ context.Context, _ xrpc.Visitor, in *repoImportRepoInput) (*repoImportRepoOutput, error) {
	_, err := io.Copy(io.Discard, in.Stream())
	return new(repoImportRepoOutput), err
}

func registerExamples(g *xrpc.Group, d Deps) {
	m := exampleMethods{log: d.Log}
	xrpc.Public(g, xrpc.Query("com.atproto.server.describeServer"), m.describeServer)
	xrpc.Public(g, xrpc.Query("com.atproto.repo.listRecords"), m.listRecords)
	xrpc.Public(g, xrpc.Query("com.atproto.sync.getBlocks"), m.getBlocks)
	xrpc.Public(g, xrpc.Procedure("com.atproto.server.createSession"), m.createSession)
	xrpc.Viewer(g, xrpc.Query("com.atproto.sync.getRepo").Takes(auth.Std|auth.OrTakendown), m.getRepo)
	xrpc.Account(g, xrpc.Procedure("com.atproto.repo.createRecord").Takes(auth.Std|auth.NoTakedown|auth.NoDeactivated).Body(recordBodyLimit), mayCreateRecord, m.createRecord)
	xrpc.Account(g, xrpc.Procedure("com.atproto.repo.putRecord").Takes(auth.Std|auth.NoTakedown|auth.NoDeactivated).Body(recordBodyLimit), mayPutRecord, m.putRecord)
	xrpc.Account(g, xrpc.Procedure("com.atproto.repo.applyWrites").Takes(auth.Std|auth.NoTakedown|auth.NoDeactivated).Body(recordBodyLimit), mayApplyWrites, m.applyWrites)
	xrpc.Account(g, xrpc.Procedure("com.atproto.repo.uploadBlob").Takes(auth.Std|auth.NoTakedown).BodyOf("blob_upload_limit", func(xrpc.Visitor) int64 { return 1000 }), mayUploadBlob, m.uploadBlob)
	xrpc.Refresh(g, xrpc.Procedure("com.atproto.server.deleteSession").Expired(), m.deleteSession)
	xrpc.Operator(g, xrpc.Procedure("com.atproto.server.createInviteCode"), auth.RoleAdmin, m.createInviteCode)
	xrpc.Public(g, xrpc.Procedure("com.atproto.repo.importRepo").Noting("only a test"), m.importRepo)
}

func exampleServer(tb testing.TB) (*xrpc.Server, *witness) {
	tb.Helper()
	w := new(witness)
	return assemble(testDeps(w), registerExamples), w
}

// ask sends one request; headers are "Name: value".
func ask(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	var r *http.Request
	if body == "" {
		r = httptest.NewRequest(method, target, nil)
	} else {
		r = httptest.NewRequest(method, target, strings.NewReader(body))
	}
	r.Host = "alpha.test"
	for _, line := range headers {
		k, v, _ := strings.Cut(line, ": ")
		if k == "Host" {
			r.Host = v
			continue
		}
		r.Header.Add(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func wantError(t *testing.T, w *httptest.ResponseRecorder, status int, name, part string) {
	t.Helper()
	var e struct{ Error, Message string }
	raw := w.Body.Bytes()
	var any map[string]any
	if err := json.Unmarshal(raw, &any); err != nil {
		t.Fatalf("%d %q: %v", w.Code, raw, err)
	}
	e.Error, _ = any["error"].(string)
	e.Message, _ = any["message"].(string)
	if w.Code != status || e.Error != name || !strings.Contains(e.Message, part) || len(any) != 2 {
		t.Errorf("got %d %s, want %d %s with %q", w.Code, raw, status, name, part)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/json; charset=utf-8" {
		t.Errorf("error has Content-Type %q", ct)
	}
}

const (
	jsonBody = "Content-Type: application/json"
	asAlice  = "Authorization: Bearer alice"
	create   = "/xrpc/com.atproto.repo.createRecord"
)
