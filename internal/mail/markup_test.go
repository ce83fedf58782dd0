package mail_test

import (
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/mail"
)

func message(t testing.TB, text string) mail.Message {
	t.Helper()
	m, err := mail.Render(mail.Note{Kind: mail.KindMessage, Subject: "s", Text: text}, mail.Brand{Host: "h.example"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A moderation tool's message, in both forms.
func TestMarkup(t *testing.T) {
	t.Parallel()
	m := message(t, `<p>Dear <strong>alice</strong>,</p>
<p>your post breaks <a href="https://example.com/rules?a=1&b=2" onclick="x()">our rules</a>:</p>
<ul><li>one</li><li>two &amp; three</li></ul><br/>Bye`)
	for _, want := range []string{
		"<p>Dear <strong>alice</strong>,</p>", `<a href="https://example.com/rules?a=1&amp;b=2" rel="noopener noreferrer">our rules</a>`, "<ul><li>one</li><li>two &amp; three</li></ul><br>Bye",
	} {
		if !strings.Contains(m.HTML, want) {
			t.Errorf("no %s in %s", want, m.HTML)
		}
	}
	if want := "Dear alice,\n\nyour post breaks our rules <https://example.com/rules?a=1&b=2>:\n\n- one\n- two & three\n\nBye\n"; !strings.HasPrefix(m.Text, want) {
		t.Errorf("%q", m.Text)
	}
	// Text is text, also with signs in it that HTML has.
	for _, plain := range []string{"if a < b then c > d", "<3 you & me", "write to <alice@example.com>", "a <unknown> thing"} {
		if m := message(t, plain); !strings.Contains(m.Text, plain) || strings.Contains(m.HTML, plain) && strings.ContainsAny(plain, "<>&") {
			t.Errorf("%q: %q %s", plain, m.Text, m.HTML)
		}
	}
}

// What must not come through, and must not break the page around it.
func TestMarkupIsHarmless(t *testing.T) {
	t.Parallel()
	empty := message(t, "<p></p>")
	for _, evil := range []string{
		`<p><script>alert(1)</script>`, `<p><img src=x onerror=alert(1)>`, `<p><a href="javascript:alert(1)">x</a>`, `<p><a href=" JaVaScRiPt:alert(1)">x</a>`,
		`<p><a href="data:text/html,alert(1)">x</a>`, `<p><svg><script>alert(1)</script></svg>`, `<p><iframe src="https://evil.example"></iframe>`,
		`<p style="background:url(https://evil.example)">x</p>`, `<p><style>@import 'https://evil.example'</style>`, `<p><form action="https://evil.example"><input></form>`,
		`<p></td></tr></table></body></html>`, `<p><!-- <script>alert(1)</script> -->`, `<p><![CDATA[<script>alert(1)</script>]]>`, `<p><scr<script>ipt>alert(1)</script>`,
		`<p><a href="https://evil.example/&quot; onclick=&quot;alert(1)">`, `<p><base href="https://evil.example">`, `<p><meta http-equiv=refresh content="0;url=https://evil.example">`,
		`<p><noscript><p title="</noscript><img src=x onerror=alert(1)>">`, `<p><math><mtext><script>alert(1)</script>`, `<p>` + strings.Repeat("<b>", 10_000), strings.Repeat("</p>", 1000),
		`<p><a href="https://x.example">` + strings.Repeat("<ul><li>", 300),
	} {
		m := message(t, evil)
		low := strings.ToLower(m.HTML)
		for _, bad := range []string{"<script", "<img", "javascript:", "data:text", "<svg", "<iframe", "url(", "@import", "<form", "<input", "<base", "http-equiv", "<!--", `" onclick="`, "onerror=alert(1)>"} {
			if strings.Contains(strings.ReplaceAll(low, "&lt;", "("), bad) {
				t.Errorf("%.60s: %s in %s", evil, bad, m.HTML)
			}
		}
		for _, tag := range []string{"<table", "</table>", "</td>", "</body>", "</html>"} {
			if a, b := strings.Count(m.HTML, tag), strings.Count(empty.HTML, tag); a != b {
				t.Errorf("%.60s: %d %s, want %d", evil, a, tag, b)
			}
		}
		for _, tag := range []string{"p", "b", "a", "ul", "li"} {
			if a, b := strings.Count(m.HTML, "<"+tag+">")+strings.Count(m.HTML, "<"+tag+" "), strings.Count(m.HTML, "</"+tag+">"); a != b {
				t.Errorf("%.60s: %d <%s>, %d closed", evil, a, tag, b)
			}
		}
	}
}

func FuzzMarkup(f *testing.F) {
	f.Add("<p>a<b>c")
	f.Add("<a href='http://x'><script><p></script>")
	f.Fuzz(func(t *testing.T, text string) {
		m := message(t, "<p>"+text)
		if strings.Contains(m.HTML, "<script") || strings.Count(m.HTML, "</table>") != 2 {
			t.Errorf("%q: %s", text, m.HTML)
		}
	})
}
