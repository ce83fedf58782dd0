package plcdir

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/did-method-plc/go-didplc"
)

const (
	maxBody    = 100 << 10
	maxExport  = 1000
	timeFormat = "2006-01-02T15:04:05.000Z"
)

// Handler is the directory's HTTP face.
func (d *Directory) Handler(version string, log *slog.Logger) http.Handler {
	h := &handler{d, version, log}
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /{$}":             h.index,
		"GET /_health":         h.health,
		"GET /export":          h.export,
		"GET /{did}":           h.document,
		"GET /{did}/data":      h.data,
		"GET /{did}/log":       h.log,
		"GET /{did}/log/audit": h.audit,
		"GET /{did}/log/last":  h.last,
		"POST /{did}":          h.submit,
		"/":                    h.unknown,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := serve(w, r); err != nil {
				h.fail(w, r, err)
			}
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		if r.Method == http.MethodOptions {
			w.Header().Set("Access-Control-Allow-Methods", "GET,HEAD,POST")
			w.Header().Set("Access-Control-Allow-Headers", "content-type")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

type handler struct {
	dir     *Directory
	version string
	logger  *slog.Logger
}

// httpError is an answer that is not about an operation.
type httpError struct {
	status  int
	message string
}

func (e *httpError) Error() string { return e.message }

func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, message := http.StatusInternalServerError, "Internal Server Error"
	var told *httpError
	var refused *refusal
	did := r.PathValue("did")
	switch {
	case errors.As(err, &told):
		status, message = told.status, told.message
	case errors.As(err, &refused):
		status, message = http.StatusBadRequest, refused.text
	case errors.Is(err, identity.ErrDIDNotFound), errors.Is(err, identity.ErrDIDSyntax):
		status, message = http.StatusNotFound, "DID not registered: "+did
	case errors.Is(err, identity.ErrDIDTombstoned):
		status, message = http.StatusNotFound, "DID not available: "+did
	case r.Context().Err() != nil: // the client left
	default:
		h.logger.Error("PLC directory", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	writeJSON(w, status, map[string]string{"message": message})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = encode(w, v) // the client left, or everything here marshals
}

// encode writes JSON without escaping <, > and &: what is shown stays byte for
// byte what was signed.
func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func (h *handler) index(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "The built-in PLC directory of Aurora Locus's development mode.\nGET /:did, /:did/data, /:did/log, /:did/log/audit, /:did/log/last, /export; POST /:did\n")
	return nil
}

func (h *handler) unknown(http.ResponseWriter, *http.Request) error {
	return &httpError{http.StatusNotFound, "Not Found"}
}

func (h *handler) health(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.dir.db.Control().GetCounter(r.Context(), seqCounter); err != nil {
		h.logger.Error("PLC directory health", "err", err)
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"version": h.version, "error": "Service Unavailable"})
		return nil
	}
	writeJSON(w, http.StatusOK, map[string]string{"version": h.version})
	return nil
}

func (h *handler) document(w http.ResponseWriter, r *http.Request) error {
	doc, err := h.dir.Resolve(r.Context(), r.PathValue("did"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/did+ld+json; charset=utf-8")
	_ = encode(w, doc)
	return nil
}

func (h *handler) data(w http.ResponseWriter, r *http.Request) error {
	did := r.PathValue("did")
	op, err := h.dir.Last(r.Context(), did)
	if err != nil {
		return err
	}
	state, err := identity.RegularForm(op)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		DID                 string                      `json:"did"`
		VerificationMethods map[string]string           `json:"verificationMethods"`
		RotationKeys        []string                    `json:"rotationKeys"`
		AlsoKnownAs         []string                    `json:"alsoKnownAs"`
		Services            map[string]didplc.OpService `json:"services"`
	}{did, state.VerificationMethods, state.RotationKeys, state.AlsoKnownAs, state.Services})
	return nil
}

func (h *handler) entries(r *http.Request) ([]entry, error) {
	did := r.PathValue("did")
	if err := identity.CheckPLC(did); err != nil {
		return nil, err
	}
	log, err := readLog(r.Context(), h.dir.db.Control(), did)
	if err == nil && len(log) == 0 {
		err = identity.ErrDIDNotFound
	}
	return log, err
}

func (h *handler) log(w http.ResponseWriter, r *http.Request) error {
	log, err := h.entries(r)
	if err != nil {
		return err
	}
	ops := []didplc.Operation{}
	for _, e := range active(log) {
		ops = append(ops, e.op)
	}
	writeJSON(w, http.StatusOK, ops)
	return nil
}

// line is an entry as /log/audit and the two forms of /export show it.
type line struct {
	DID       string           `json:"did"`
	Operation didplc.Operation `json:"operation"`
	CID       string           `json:"cid"`
	Nullified *bool            `json:"nullified,omitempty"`
	CreatedAt string           `json:"createdAt"`
	Seq       int64            `json:"seq,omitempty"`
	Type      string           `json:"type,omitempty"`
}

func (h *handler) audit(w http.ResponseWriter, r *http.Request) error {
	log, err := h.entries(r)
	if err != nil {
		return err
	}
	lines := make([]line, len(log))
	for i, e := range log {
		lines[i] = line{DID: r.PathValue("did"), Operation: e.op, CID: e.cid, Nullified: &e.nullified, CreatedAt: e.createdAt.Format(timeFormat)}
	}
	writeJSON(w, http.StatusOK, lines)
	return nil
}

func (h *handler) last(w http.ResponseWriter, r *http.Request) error {
	op, err := h.dir.Last(r.Context(), r.PathValue("did"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, op)
	return nil
}

func (h *handler) submit(w http.ResponseWriter, r *http.Request) error {
	if mt, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(mt), "application/json") {
		return &httpError{http.StatusBadRequest, "Not a valid operation: content type must be application/json"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return &httpError{http.StatusRequestEntityTooLarge, "request entity too large"}
		}
		return &httpError{http.StatusBadRequest, "request aborted"}
	}
	op, err := identity.ParseOperation(body)
	if err != nil {
		return invalid("Not a valid operation: %s", strings.TrimPrefix(err.Error(), identity.ErrOperation.Error()+": "))
	}
	if err := h.dir.submit(r.Context(), r.PathValue("did"), op); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "OK")
	return nil
}

// export writes JSON lines: by sequence number when after is one, else in the
// older form, by time.
// spec: did-plc#bulk-export
func (h *handler) export(w http.ResponseWriter, r *http.Request) error {
	count, after := maxExport, r.FormValue("after")
	if text := r.FormValue("count"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return &httpError{http.StatusBadRequest, "Invalid count parameter"}
		}
		count = min(n, maxExport)
	}
	q := h.dir.db.Control()
	var rows []controldb.PlcOperation
	var err error
	bySeq := after != "" && strings.Trim(after, "0123456789") == ""
	if bySeq {
		seq, parseErr := strconv.ParseInt(after, 10, 64)
		if parseErr != nil {
			return &httpError{http.StatusBadRequest, "Invalid after parameter"}
		}
		rows, err = q.ListPLCOperationsAfterSeq(r.Context(), controldb.ListPLCOperationsAfterSeqParams{AfterSeq: seq, MaxRows: int32(count)})
	} else {
		var t time.Time
		if after != "" {
			if t, err = time.Parse(time.RFC3339, after); err != nil {
				return &httpError{http.StatusBadRequest, "Invalid after parameter"}
			}
		}
		rows, err = q.ListPLCOperationsAfterTime(r.Context(), controldb.ListPLCOperationsAfterTimeParams{AfterTime: t, MaxRows: int32(count)})
	}
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	lines := make([]line, len(rows))
	for i, row := range rows {
		e, err := fromRow(row)
		if err != nil {
			return err
		}
		lines[i] = line{DID: row.DID, Operation: e.op, CID: e.cid, CreatedAt: e.createdAt.Format(timeFormat)}
		if bySeq {
			lines[i].Seq, lines[i].Type = row.Seq, "sequenced_op"
		} else {
			lines[i].Nullified = &e.nullified
		}
	}
	w.Header().Set("Content-Type", "application/jsonlines")
	out := bufio.NewWriter(w)
	for _, l := range lines {
		if err := encode(out, l); err != nil {
			return nil // the client left
		}
	}
	_ = out.Flush()
	return nil
}
