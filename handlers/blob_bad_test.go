package handlers

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"

	"github.com/auroralocus/locus/repo/dagcbor"
)

// spoken sends what a client says word for word, ends its half of the connection if asked to, and gives the answers. When n
// have come and the connection is still open, it asks for something else and to end: so whatever else is answered shows.
func (u *user) spoken(headers, body string, hangUp bool, n int) (answers []int) {
	u.t.Helper()
	conn, err := net.Dial("tcp", u.http.Listener.Addr().String())
	if err != nil {
		u.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(40 * time.Second))
	if _, err = io.WriteString(conn, "POST /xrpc/com.atproto.repo.uploadBlob HTTP/1.1\r\nHost: "+u.host+"\r\n"+bearer(u.access)+"\r\nContent-Type: a/b\r\n"+headers+"\r\n"+body); err != nil {
		u.t.Fatal(err)
	}
	if hangUp {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	asked := false
	for r := bufio.NewReader(conn); ; {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return answers
		}
		said, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if asked && strings.Contains(string(said), "AuthMissing") {
			continue // to what was asked last
		}
		answers = append(answers, res.StatusCode)
		if res.Close || hangUp {
			return answers
		}
		if len(answers) == n {
			asked = true
			_, _ = io.WriteString(conn, "GET /xrpc/com.atproto.server.getSession HTTP/1.1\r\nHost: "+u.host+"\r\nConnection: close\r\n\r\n")
		}
	}
}

// packers make what clients may send, by the encoding's name.
var packers = map[string]func([]byte) []byte{
	"gzip":    packed(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }),
	"deflate": packed(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }),
	"br":      packed(func(w io.Writer) io.WriteCloser { return brotli.NewWriterLevel(w, 5) }),
}

func packed(open func(io.Writer) io.WriteCloser) func([]byte) []byte {
	return func(data []byte) []byte {
		var b bytes.Buffer
		w := open(&b)
		_, _ = w.Write(data)
		_ = w.Close()
		return b.Bytes()
	}
}

// keeps fails unless there are so many files and rows, soon and for a while: the server may not have begun with what
// clients that went away had sent.
func (u *user) keeps(want int) {
	u.t.Helper()
	files, rows := 0, int64(0)
	for calm, end := 0, time.Now().Add(10*time.Second); calm < 10 && time.Now().Before(end); calm++ {
		files, rows = u.files(), u.count("SELECT count(*) FROM pds.blob")
		if files != want || rows != int64(want) {
			calm = -1
		}
		time.Sleep(10 * time.Millisecond)
	}
	if files != want || rows != int64(want) {
		u.t.Errorf("%d files, %d rows, want %d", files, rows, want)
	}
	u.usageIsTrue()
}

// TestUploadBlobLengths: lengths that are wrong, missing, twice there or not meant, and bodies that end early.
func TestUploadBlobLengths(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, houseOptions{settings: map[string]string{"blob_upload_limit": "200000"}})
	alice := h.createAccount(hostA, "alice")
	large := strings.Repeat("x", 150_000)
	chunk := func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	for name, one := range map[string]struct {
		headers, body string
		hangUp        bool
		want          []int
	}{
		"longer than sent":                {"Content-Length: 900\r\n", "half", true, []int{499}},
		"longer than sent, large":         {"Content-Length: 190000\r\n", large, true, []int{499}},
		"more than may be":                {"Content-Length: 999999\r\n", "", false, []int{413}},
		"more than fits a number":         {"Content-Length: 99999999999999999999\r\n", "", false, []int{400}},
		"negative":                        {"Content-Length: -5\r\n", "hello", false, []int{400}},
		"no number":                       {"Content-Length: five\r\n", "hello", false, []int{400}},
		"two that differ":                 {"Content-Length: 5\r\nContent-Length: 6\r\n", "hello!", false, []int{400}},
		"none":                            {"", "hello\r\n\r\n", false, []int{400, 400}},
		"none, and nothing sent":          {"Content-Length: 0\r\n", "", false, []int{400}},
		"chunks that end early":           {"Transfer-Encoding: chunked\r\n", chunk("hello"), true, []int{499}},
		"chunks that end early, large":    {"Transfer-Encoding: chunked\r\n", chunk(large), true, []int{499}},
		"a chunk that ends early":         {"Transfer-Encoding: chunked\r\n", "ff\r\nhello", true, []int{499}},
		"a chunk without a size":          {"Transfer-Encoding: chunked\r\n", "hello\r\n", true, []int{400}},
		"chunks that are too much":        {"Transfer-Encoding: chunked\r\n", chunk(large) + chunk(large) + "0\r\n\r\n", false, []int{413}},
		"no chunks":                       {"Transfer-Encoding: chunked\r\n", "0\r\n\r\n", true, []int{400}},
		"a transfer that nobody knows":    {"Transfer-Encoding: rot13\r\n", "hello", true, []int{501}},
		"chunks that say they are packed": {"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n", chunk("hello") + "0\r\n\r\n", true, []int{400}},
	} {
		if got := alice.spoken(one.headers, one.body, one.hangUp, len(one.want)); fmt.Sprint(got) != fmt.Sprint(one.want) {
			t.Errorf("%s: %v, want %v", name, got, one.want)
		}
	}
	alice.keeps(0)
	// Shorter than sent: the blob is what the length says, and the answer names its CID. The rest is no request.
	if got := alice.spoken("Content-Length: 5\r\n", "hello and more\r\n\r\n", false, 2); fmt.Sprint(got) != "[200 400]" {
		t.Error(got)
	}
	if n := alice.count("SELECT size FROM pds.blob"); n != 5 {
		t.Errorf("%d bytes", n)
	}
	// A client that asks first is answered before it sends: to go on, or why not.
	if got := alice.spoken("Content-Length: 5\r\nExpect: 100-continue\r\n", "hello", false, 2); fmt.Sprint(got) != "[100 200]" {
		t.Error(got)
	}
	if got := alice.spoken("Content-Length: 999999\r\nExpect: 100-continue\r\n", "", false, 1); fmt.Sprint(got) != "[413]" {
		t.Error(got)
	}
	if got := alice.spoken("Content-Length: 5\r\nContent-Encoding: rot13\r\nExpect: 100-continue\r\n", "", false, 1); fmt.Sprint(got) != "[415]" {
		t.Error(got)
	}
	// Chunks and a length: the chunks count, and the connection ends, so that nobody before us reads another request.
	if got := alice.spoken("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", chunk("hello!")+"0\r\n\r\n", false, 1); len(got) == 0 || got[0] != 200 && got[0] != 400 {
		t.Error(got)
	}
	rows := int(alice.count("SELECT count(*) FROM pds.blob"))
	alice.upload("and it still works").ok()
	alice.keeps(rows + 1)
	// Gone in the middle, many at once.
	for range 30 {
		conn, err := net.Dial("tcp", h.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "POST /xrpc/com.atproto.repo.uploadBlob HTTP/1.1\r\nHost: a.test\r\n"+bearer(alice.access)+"\r\nContent-Type: a/b\r\nContent-Length: 199999\r\n\r\n"+large)
		_ = conn.(*net.TCPConn).SetLinger(0) // a reset, not an end
		_ = conn.Close()
	}
	alice.keeps(rows + 1)
	alice.upload("and again").ok()
}

// TestUploadBlobEncodings: what is packed is unpacked, once or twice, and the limit is on what comes out.
func TestUploadBlobEncodings(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, houseOptions{settings: map[string]string{"blob_upload_limit": "100000"}})
	alice := h.createAccount(hostA, "alice")
	data := randomBytes(50_000)
	bomb := make([]byte, 32<<20)
	for name, pack := range packers {
		if b := alice.uploaded(pack(data), "Content-Encoding: "+name); refOf(b) != dagcbor.RawCID(data).String() || fmt.Sprint(b["size"]) != "50000" {
			t.Errorf("%s: %v", name, b)
		}
		if b := alice.uploaded(pack(data), "Content-Encoding: "+strings.ToUpper(name)); refOf(b) != dagcbor.RawCID(data).String() {
			t.Errorf("%s: %v", name, b)
		}
		for _, n := range []int{1, 5, 20, 1000, 49_000, len(pack(data)) - 1} {
			alice.upload(pack(data)[:n], "Content-Encoding: "+name).fails(400, "InvalidRequest", "")
		}
		bad := pack(bytes.Repeat([]byte("words and "), 5000))
		for i := 10; i < len(bad); i += 3 {
			bad[i] ^= 0x55
		}
		if r := alice.upload(bad, "Content-Encoding: "+name); r.status != 400 {
			t.Errorf("%s, damaged: %d", name, r.status)
		}
		small := pack(bomb)
		alice.upload(small, "Content-Encoding: "+name).fails(413, "PayloadTooLarge", "")
		alice.upload(io.MultiReader(bytes.NewReader(small)), "Content-Encoding: "+name).fails(413, "PayloadTooLarge", "")
		for outer, again := range packers {
			alice.upload(again(small), "Content-Encoding: "+name+", "+outer).fails(413, "PayloadTooLarge", "")
			if b := alice.uploaded(again(pack(data)), "Content-Encoding: "+name+", "+outer); refOf(b) != dagcbor.RawCID(data).String() {
				t.Errorf("%s, %s: %v", name, outer, b)
			}
			// A header that stands twice is a list.
			twice := fmt.Sprintf("Connection: close\r\nContent-Encoding: %s\r\nContent-Encoding: %s\r\nContent-Length: ", name, outer)
			for _, one := range []struct {
				body []byte
				want string
			}{{again(pack(data)), "[200]"}, {pack(data), "[400]"}, {again(data), "[400]"}} {
				if got := alice.spoken(fmt.Sprint(twice, len(one.body), "\r\n"), string(one.body), false, 1); fmt.Sprint(got) != one.want {
					t.Errorf("%s and %s: %v", name, outer, got)
				}
			}
			short := again(pack(data))
			alice.upload(short[:len(short)-1], "Content-Encoding: "+name+", "+outer).fails(400, "InvalidRequest", "")
			// Said once, done twice: then it is a packed file, and stays one.
			inner := pack(data)
			if b := alice.uploaded(again(inner), "Content-Encoding: "+outer); refOf(b) != dagcbor.RawCID(inner).String() {
				t.Errorf("%s in %s: %v", name, outer, b)
			}
		}
		alice.upload(pack(nil), "Content-Encoding: "+name).fails(400, "InvalidRequest", "")
		for _, behind := range []string{"x", "more than was packed", "\x00"} {
			alice.upload(append(pack(data), behind...), "Content-Encoding: "+name).fails(400, "InvalidRequest", "decoded")
		}
		alice.upload(data, "Content-Encoding: "+name).fails(400, "InvalidRequest", "decoded")
	}
	raw := packed(func(w io.Writer) io.WriteCloser { f, _ := flate.NewWriter(w, 6); return f })
	if b := alice.uploaded(raw(data), "Content-Encoding: deflate"); refOf(b) != dagcbor.RawCID(data).String() {
		t.Error(b)
	}
	alice.upload(raw(bomb), "Content-Encoding: deflate").fails(413, "PayloadTooLarge", "")
	alice.upload(append(raw(data), 'x'), "Content-Encoding: deflate").fails(400, "InvalidRequest", "decoded")
	for _, unknown := range []string{"zstd", "compress", "gzip, rot13", "gzip, gzip, gzip, gzip", "gzip;q=1"} {
		alice.upload("x", "Content-Encoding: "+unknown).fails(415, "UnsupportedMediaType", "")
	}
	if b := alice.uploaded(data, "Content-Encoding: identity"); refOf(b) != dagcbor.RawCID(data).String() {
		t.Error(b)
	}
	alice.keeps(4) // the data, and each packed once
}

// TestServeBlobParts: pieces of a blob, conditions, and what keeps browsers from running it, with every answer.
func TestServeBlobParts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	data := []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(2)</script></svg>`)
	b := alice.uploaded(data, "Content-Type: image/svg+xml")
	alice.call("com.atproto.repo.createRecord", obj{"repo": alice.did, "collection": custom, "record": obj{"file": b}}).ok()
	cid, n := refOf(b), len(data)
	tag := `"` + cid + `"`
	for _, one := range []struct {
		headers []string
		status  int
		length  int
		body    string
	}{
		{nil, 200, n, string(data)},
		{[]string{"Range: bytes=0-3"}, 206, 4, "<svg"},
		{[]string{"Range: bytes=-6"}, 206, 6, "</svg>"},
		{[]string{fmt.Sprintf("Range: bytes=%d-", n-6)}, 206, 6, "</svg>"},
		{[]string{"Range: bytes=0-9999"}, 206, n, string(data)},
		{[]string{"Range: bytes=0-"}, 206, n, string(data)},
		{[]string{"Range: bytes=9999-"}, 416, -1, ""},
		{[]string{"Range: bytes=5-1"}, 416, -1, ""},
		{[]string{"Range: lines=1-2"}, 200, n, string(data)}, // an unknown unit is ignored
		{[]string{"Range: bytes"}, 200, n, string(data)},
		{[]string{"Range: Bytes=0-3"}, 206, 4, "<svg"},
		{[]string{"Range: bytes=0-3", "If-Range: " + tag}, 206, 4, "<svg"},
		{[]string{"Range: bytes=0-3", `If-Range: "another"`}, 200, n, string(data)},
		{[]string{"Range: bytes=0-3", "If-None-Match: " + tag}, 304, -1, ""},
		{[]string{`If-None-Match: "x", W/` + tag}, 304, -1, ""},
		{[]string{"If-None-Match: *"}, 304, -1, ""},
		{[]string{`If-None-Match: "x"`}, 200, n, string(data)},
		{[]string{"If-Match: " + tag}, 200, n, string(data)},
		{[]string{`If-Match: "x"`}, 412, -1, ""},
		{[]string{"If-Modified-Since: Tue, 01 Jan 2036 00:00:00 GMT"}, 200, n, string(data)}, // no dates: the ETag says all
	} {
		for _, verb := range []string{"GET", "HEAD"} {
			if verb == "HEAD" && (one.status == 206 || one.status == 416) {
				one.status, one.length = 200, n // only GET has parts
			}
			r := h.raw(verb, hostA, "/xrpc/com.atproto.sync.getBlob"+params("did", alice.did, "cid", cid), nil, one.headers...)
			if r.status != one.status || verb == "GET" && one.length >= 0 && string(r.body) != one.body || verb == "HEAD" && len(r.body) > 0 ||
				one.length >= 0 && r.header.Get("Content-Length") != fmt.Sprint(one.length) {
				t.Errorf("%s %v: %d, length %s, %q", verb, one.headers, r.status, r.header.Get("Content-Length"), r.body)
			}
			if r.header.Get("X-Content-Type-Options") != "nosniff" || r.header.Get("Content-Security-Policy") != "default-src 'none'; sandbox" ||
				!strings.HasPrefix(r.header.Get("Content-Disposition"), "attachment;") {
				t.Errorf("%s %v: %v", verb, one.headers, r.header)
			}
			if one.status < 400 && (r.header.Get("Etag") != tag || r.header.Get("Cache-Control") != blobAge) {
				t.Errorf("%s %v: %v", verb, one.headers, r.header)
			}
			if one.status >= 400 && strings.Contains(r.header.Get("Cache-Control"), "public") {
				t.Errorf("%s %v: an error to be kept: %v", verb, one.headers, r.header)
			}
		}
	}
	r := alice.blobFile(cid, "Range: bytes=0-3,-6")
	if r.status != 206 || !strings.HasPrefix(r.header.Get("Content-Type"), "multipart/byteranges") || !bytes.Contains(r.body, []byte("\r\n<svg\r\n")) || !bytes.Contains(r.body, []byte("\r\n</svg>\r\n")) {
		t.Errorf("%d %v %q", r.status, r.header, r.body)
	}
	// Nor are many that are small: each would be a request to S3.
	if r := alice.blobFile(cid, "Range: bytes="+strings.Repeat("0-0,", maxRanges-1)+"1-1"); r.status != 206 {
		t.Error(r.status)
	}
	if r := alice.blobFile(cid, "Range: bytes="+strings.Repeat("0-0,", maxRanges)+"1-1"); r.status != 200 || len(r.body) != n {
		t.Errorf("%d, %d bytes", r.status, len(r.body))
	}
	// More than the whole in pieces that overlap is no way to make the server work.
	if r := alice.blobFile(cid, "Range: bytes="+strings.Repeat("0-,", 200)+"0-"); r.status != 200 || len(r.body) != n {
		t.Errorf("%d, %d bytes", r.status, len(r.body))
	}
}
