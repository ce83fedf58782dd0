package mail_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"encoding/json"

	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/mail/mailtest"
)

var kinds = []mail.Kind{mail.KindConfirmEmail, mail.KindUpdateEmail, mail.KindResetPassword, mail.KindDeleteAccount, mail.KindPLCOperation, mail.KindSignIn, mail.KindFactorChange,
	mail.KindAppFactorOn, mail.KindAppFactorOff, mail.KindEmailFactorOn, mail.KindEmailFactorOff, mail.KindBackupCodes, mail.KindDeletionSet}

// Every language says everything, with the same placeholders, and nothing else.
func TestCatalogues(t *testing.T) {
	files, err := filepath.Glob("lang/*.json")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	placeholder := regexp.MustCompile(`\{[a-z]+\}`)
	read := func(file string) map[string]string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out map[string]string
		if err := json.Unmarshal(b, &out); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		return out
	}
	want := read("lang/en.json")
	for _, kind := range append([]mail.Kind{mail.KindSignupApproved, mail.KindSignupRejected, mail.KindMoveApproved}, kinds...) {
		if want[string(kind)+".subject"] == "" || want[string(kind)+".text"] == "" {
			t.Errorf("no English for %s", kind)
		}
	}
	for _, file := range files {
		got := read(file)
		if a, b := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(a, b) {
			t.Errorf("%s has keys %v, English %v", file, a, b)
		}
		for key, text := range got {
			a, b := placeholder.FindAllString(text, -1), placeholder.FindAllString(want[key], -1)
			slices.Sort(a)
			slices.Sort(b)
			if !slices.Equal(a, b) || text == "" {
				t.Errorf("%s: %s has placeholders %v, English %v", file, key, a, b)
			}
		}
	}
}

// What became of a sign-up is told without a code, in the tenant's looks.
func TestRenderDecision(t *testing.T) {
	brand := mail.Brand{Name: "Söhne", Host: "pds.example.com", Color: "#aa0000"}
	for _, lang := range mail.Languages() {
		for _, kind := range []mail.Kind{mail.KindSignupApproved, mail.KindSignupRejected, mail.KindMoveApproved} {
			m, err := mail.Render(mail.Note{Kind: kind, Lang: lang, Handle: "alice.example.com", Code: "ABCDE-23456"}, brand)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{m.Text, m.HTML} {
				if !strings.Contains(part, "Söhne") || strings.Count(part, "alice.example.com") != 2 || strings.Contains(part, "ABCDE") || strings.ContainsAny(m.Text, "{}") {
					t.Errorf("%s %s: %s", lang, kind, part)
				}
			}
			if m.Subject == "" || !strings.Contains(m.HTML, "#aa0000") {
				t.Errorf("%s %s: %q", lang, kind, m.Subject)
			}
		}
	}
}

func TestRender(t *testing.T) {
	brand := mail.Brand{Name: "Größe & Söhne <x>", Host: "pds.example.com", LogoURL: "https://example.com/l.png", Color: "#aa0000", TextColor: "#00ff00", HelpURL: "https://example.com/help"}
	for _, lang := range mail.Languages() {
		for _, kind := range kinds {
			code, codes := "ABCDE-23456", 1
			if strings.Contains(string(kind), "_factor_") || kind == mail.KindBackupCodes { // notices have none
				code, codes = "", 0
			}
			m, err := mail.Render(mail.Note{Kind: kind, Lang: lang, Handle: "alice.example.com", Code: code}, brand)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{m.Text, m.HTML} {
				if strings.Count(part, "ABCDE-23456") != codes || codes == 0 && strings.Contains(strings.ToLower(part), "15 min") || !strings.Contains(part, "pds.example.com") || !strings.Contains(part, "alice.example.com") || strings.ContainsAny(part, "{}") {
					t.Errorf("%s %s: %s", lang, kind, part)
				}
			}
			if !strings.Contains(m.Text, brand.Name) || !strings.Contains(m.HTML, "Größe &amp; Söhne &lt;x&gt;") || !strings.Contains(m.HTML, "#aa0000") || !strings.Contains(m.HTML, `lang="`+lang+`"`) {
				t.Errorf("%s %s: %s", lang, kind, m.HTML)
			}
			if m.Subject == "" || strings.Contains(m.Subject, "ABCDE") {
				t.Errorf("%s %s: subject %q", lang, kind, m.Subject)
			}
		}
	}
	// What others wrote is text, not markup, and no header.
	m, err := mail.Render(mail.Note{Kind: mail.KindMessage, Subject: "a\r\nBcc: x@example.com", Text: "<script>alert(1)</script>\n\nsecond"}, mail.Brand{Host: "h.example"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(m.Subject, "\r\n") || strings.Contains(m.HTML, "<script>") || !strings.Contains(m.Text, "<script>") || !strings.Contains(m.Text, "second") {
		t.Errorf("%+v", m)
	}
	if _, err := mail.Render(mail.Note{Kind: "nonsense"}, brand); !errors.Is(err, mail.ErrKind) {
		t.Error(err)
	}
	evil := mail.Brand{Host: "h.example", Color: `red"><script>`, LogoURL: "javascript:alert(1)"}
	if m, err = mail.Render(mail.Note{Kind: mail.KindConfirmEmail}, evil); err != nil || strings.Contains(m.HTML, "<script>") || strings.Contains(m.HTML, "javascript:alert") {
		t.Errorf("%v %s", err, m.HTML)
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range [][3]string{
		{"", "", "en"}, {"", "de", "de"}, {"fr", "de", "fr"}, {"fr-CA, en;q=0.8", "", "fr"}, {"xx, de;q=0.3, en;q=0.2", "", "de"},
		{"en;q=0, de;q=x", "fr", "fr"}, {"*", "", "en"}, {",;,q=", "", "en"}, {"", "klingon", "en"},
	} {
		if got := mail.Match(tt[0], tt[1]); got != tt[2] {
			t.Errorf("Match(%q, %q) = %s, want %s", tt[0], tt[1], got, tt[2])
		}
	}
}

func TestParseServer(t *testing.T) {
	for text, want := range map[string]string{
		"smtp://mail.example.com": "mail.example.com:587", "smtps://u:p%40x@mail.example.com": "mail.example.com:465",
		"smtp://127.0.0.1:2525": "127.0.0.1:2525", "smtp://[::1]:25?tls=none": "[::1]:25",
	} {
		s, err := mail.ParseServer(text)
		if err != nil || s.String() != want || s.IsZero() {
			t.Errorf("%s: %s, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "mail.example.com", "http://mail.example.com", "smtp://", "smtp://h:0", "smtp://h:99999", "smtp://h/path", "smtp://h?tls=perhaps", "smtp://u:secret@h:x"} {
		if s, err := mail.ParseServer(text); !errors.Is(err, mail.ErrServer) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %s, %v", text, s, err)
		}
	}
	s, err := mail.ParseServer("smtp://user:secret@h")
	if err != nil {
		t.Fatal(err)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); strings.Contains(shown, "secret") {
		t.Error(shown)
	}
}

// The message as a mail program reads it, and what each failure is.
func TestSend(t *testing.T) {
	server := mailtest.Start(t)
	dest, err := mail.ParseServer(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	e := mail.Envelope{FromName: "Größe", From: "noreply@pds.example.com", To: "alice@example.com", MessageID: "abc@pds.example.com", Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	m := mail.Message{Subject: "Bestätige", Text: "Grüße\r\n.\r\nABCDE-23456 " + strings.Repeat("lang ", 60), HTML: "<p>Grüße ABCDE-23456</p>"}
	nameless, err := dest.Dial(t.Context(), "") // the doctor, before anybody has set a sender
	if err != nil {
		t.Fatal(err)
	}
	nameless.Close()
	handed := 0
	hand := func() error { handed++; return nil }
	send := func(e mail.Envelope) error {
		c, err := dest.Dial(t.Context(), "pds.example.com")
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Send(e, m, hand)
	}
	if err := send(e); err != nil {
		t.Fatal(err)
	}
	got := server.Got()[0]
	if got.From != e.From || got.To != e.To || got.MessageID != e.MessageID || handed != 1 {
		t.Errorf("%+v", got)
	}
	var word mime.WordDecoder
	if subject, err := word.DecodeHeader(got.Header.Get("Subject")); err != nil || subject != m.Subject {
		t.Errorf("%q %v", subject, err)
	}
	if date, err := got.Header.Date(); err != nil || !date.Equal(e.Date) {
		t.Errorf("%v %v", date, err)
	}
	_, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(strings.NewReader(got.Body), params["boundary"])
	for _, want := range []string{m.Text, m.HTML} {
		p, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil || strings.TrimSpace(strings.ReplaceAll(string(b), "\r\n", "\n")) != strings.TrimSpace(strings.ReplaceAll(want, "\r\n", "\n")) {
			t.Errorf("%v %q", err, b)
		}
	}
	for _, tt := range []struct {
		what    string
		step    mailtest.Step
		verdict mailtest.Verdict
		refused bool
		handed  int
	}{
		{"no such recipient", mailtest.Rcpt, mailtest.Verdict{Reply: "550 no such user"}, true, 0},
		{"try again", mailtest.Rcpt, mailtest.Verdict{Reply: "451 later"}, false, 0},
		{"gone", mailtest.Rcpt, mailtest.Verdict{Drop: true}, false, 0},
		{"no data", mailtest.Data, mailtest.Verdict{Reply: "554 no"}, true, 0},
		{"refused at the end", mailtest.Accepted, mailtest.Verdict{Reply: "554 spam"}, true, 1},
		{"later at the end", mailtest.Accepted, mailtest.Verdict{Reply: "452 full"}, false, 1},
		{"gone at the end", mailtest.Accepted, mailtest.Verdict{Drop: true}, false, 1},
	} {
		handed = 0
		server.Hook(func(s mailtest.Step, _ string) mailtest.Verdict {
			if s == tt.step {
				return tt.verdict
			}
			return mailtest.Verdict{}
		})
		if err := send(e); err == nil || errors.Is(err, mail.ErrRefused) != tt.refused || handed != tt.handed {
			t.Errorf("%s: %v, handed over %d times", tt.what, err, handed)
		}
	}
	server.Hook(nil)
	for _, bad := range []string{"", "nobody", "a@b\r\nRCPT TO:<x@y>", "Alice <a@b.example>"} {
		x := e
		x.To = bad
		if err := send(x); !errors.Is(err, mail.ErrRefused) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	// What is not handed over was not sent.
	before := len(server.Got())
	c, err := dest.Dial(t.Context(), "pds.example.com")
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	if err := c.Send(e, m, func() error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	c.Close()
	time.Sleep(20 * time.Millisecond)
	if n := len(server.Got()); n != before {
		t.Errorf("%d messages without the final dot", n-before)
	}
	server.Stop()
	if err := send(e); !errors.Is(err, mail.ErrUnreachable) {
		t.Error(err)
	}
}
