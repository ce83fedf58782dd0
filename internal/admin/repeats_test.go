package admin

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/keyring"
)

// FuzzKept: whatever is stored as an answer, a repeated request gets what was told to the same caller under the same key, or
// an error.
func FuzzKept(f *testing.F) {
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		f.Fatal(err)
	}
	r := repeats{keys: keys}
	name := act.AnswerName{Caller: "token-1", Key: "key-1"}
	sealed, err := keys.Seal(name.Binding(), []byte("an answer"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(200, "application/json", "token-1", "key-1", sealed, 0, byte(0))
	f.Add(99, "", "token-1", "key-1", sealed, 0, byte(0))
	f.Add(1000, "a\r\nb: c", "token-2", "key-1", []byte{}, 3, byte(1))
	f.Fuzz(func(t *testing.T, status int, contentType, caller, key string, stored []byte, at int, change byte) {
		if len(stored) > 0 {
			stored = bytes.Clone(stored)
			stored[uint(at)%uint(len(stored))] ^= change
		}
		text, err := r.opened(act.AnswerName{Caller: caller, Key: key}, &act.Answer{Status: status, ContentType: contentType, Sealed: stored})
		if err != nil {
			return
		}
		if caller != name.Caller || key != name.Key || !bytes.Equal(stored, sealed) || string(text) != "an answer" {
			t.Errorf("%q, %q: %q of %x", caller, key, text, stored)
		}
		w := httptest.NewRecorder() // it panics where net/http does
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		if _, err := w.Write(text); err != nil || w.Code != status || w.Code >= http.StatusInternalServerError {
			t.Errorf("%d: %v", w.Code, err)
		}
	})
}
