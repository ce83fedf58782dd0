package mail

import (
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	htmltemplate "html/template"
	"path"
	"slices"
	"strings"
	"sync"
	"text/template"

	"golang.org/x/text/language"
)

//go:embed lang/*.json mail.html.tmpl mail.text.tmpl
var files embed.FS

// DefaultLang is what a text is in when the wanted language has no catalogue.
const DefaultLang = "en"

// catalogues are all languages, by tag. The files are ours: a broken one ends the process at first use, and the tests.
var catalogues = sync.OnceValue(func() map[string]map[string]string {
	names, err := files.ReadDir("lang")
	if err != nil {
		panic(err)
	}
	out := map[string]map[string]string{}
	for _, f := range names {
		b, err := files.ReadFile(path.Join("lang", f.Name()))
		if err != nil {
			panic(err)
		}
		texts := map[string]string{}
		if err := json.Unmarshal(b, &texts); err != nil {
			panic(fmt.Sprintf("lang/%s: %v", f.Name(), err))
		}
		out[strings.TrimSuffix(f.Name(), ".json")] = texts
	}
	return out
})

var (
	htmlForm = sync.OnceValue(func() *htmltemplate.Template {
		return htmltemplate.Must(htmltemplate.ParseFS(files, "mail.html.tmpl"))
	})
	textForm = sync.OnceValue(func() *template.Template { return template.Must(template.ParseFS(files, "mail.text.tmpl")) })
)

// Languages lists the tags of the catalogues.
func Languages() []string {
	var out []string
	for tag := range catalogues() {
		out = append(out, tag)
	}
	slices.Sort(out)
	return out
}

// matcher knows the languages of the catalogues, in their order.
var matcher = sync.OnceValues(func() (language.Matcher, []string) {
	tags := []language.Tag{language.Und} // who wants none of the others gets this one
	names := []string{""}
	for _, name := range Languages() {
		tags, names = append(tags, language.Make(name)), append(names, name)
	}
	return language.NewMatcher(tags), names
})

// Match picks a language for a person: the best of an Accept-Language header that there is a catalogue for, else
// fallback, else English. What cannot be read is passed over.
//
// spec: RFC 9110 section 12.5.4
func Match(acceptLanguage, fallback string) string {
	m, names := matcher()
	type wish struct {
		tag    language.Tag
		weight float32
	}
	var wishes []wish
	for part := range strings.SplitSeq(acceptLanguage, ",") { // one by one: a tag that nobody knows spoils no other
		if tags, weights, err := language.ParseAcceptLanguage(part); err == nil && len(tags) == 1 {
			wishes = append(wishes, wish{tags[0], weights[0]})
		}
	}
	slices.SortStableFunc(wishes, func(a, b wish) int { return cmp.Compare(b.weight, a.weight) })
	for _, w := range wishes {
		if _, i, sure := m.Match(w.tag); sure >= language.High && names[i] != "" {
			return names[i]
		}
	}
	if catalogues()[fallback] != nil {
		return fallback
	}
	return DefaultLang
}

// page is what the two templates are filled with.
type page struct {
	Brand
	Lang, Subject, Greeting, Code, About, Help string
	Paragraphs, After                          []string
	Letter                                     htmltemplate.HTML // instead of Paragraphs in HTML
}

// notices tell of something that has happened.
var notices = map[Kind]bool{KindAppFactorOn: true, KindAppFactorOff: true, KindEmailFactorOn: true, KindEmailFactorOff: true, KindBackupCodes: true, KindDeletionSet: true,
	KindDeactivated: true, KindActivated: true, KindPassword: true, KindEmailChanged: true, KindHandleChanged: true, KindAppPassword: true,
	KindRotationKeyOn: true, KindRotationKeyOff: true,
	KindPasskeyAdded: true, KindPasskeyRemoved: true, KindPasskeyCloned: true, KindPasswordRemoved: true, KindOAuthOnlyOn: true, KindOAuthOnlyOff: true, KindNewDevice: true}

// dangerous kinds tell what to do if somebody else asked.
var dangerous = map[Kind]bool{KindUpdateEmail: true, KindDeleteAccount: true, KindPLCOperation: true, KindSignIn: true, KindFactorChange: true}

// decisions are about who has nothing to do with the account's doors yet: they tell, and ask for nothing.
var decisions = map[Kind]bool{KindSignupApproved: true, KindSignupRejected: true, KindMoveApproved: true}

// The looks of a tenant that has chosen none.
const (
	defaultColor     = "#1f4b99"
	defaultTextColor = "#ffffff"
)

// words are the texts in the note's language or the default's, and what says one of them with its blanks filled in.
func words(n Note, b Brand) (texts map[string]string, lang string, say func(key string) string) {
	lang = n.Lang
	texts = catalogues()[lang]
	if texts == nil {
		lang, texts = DefaultLang, catalogues()[DefaultLang]
	}
	fill := strings.NewReplacer("{handle}", oneLine(n.Handle), "{name}", cmp.Or(b.Name, b.Host), "{host}", b.Host, "{url}", b.HelpURL, "{date}", oneLine(n.Date), "{detail}", oneLine(n.Detail))
	return texts, lang, func(key string) string { return fill.Replace(texts[key]) }
}

// Subject is the subject of the message that [Render] makes; "" for a kind that has no text.
func Subject(n Note, b Brand) string {
	if n.Kind == KindMessage {
		return oneLine(n.Subject)
	}
	_, _, say := words(n, b)
	return say(string(n.Kind) + ".subject")
}

// Render makes the message. Errors: [ErrKind].
func Render(n Note, b Brand) (Message, error) {
	texts, lang, say := words(n, b)
	if b.Name == "" {
		b.Name = b.Host
	}
	if b.Color == "" {
		b.Color = defaultColor
	}
	if b.TextColor == "" {
		b.TextColor = defaultTextColor
	}
	p := page{Brand: b, Lang: lang, Subject: Subject(n, b), Code: n.Code, About: say("about"), Help: say("help")}
	if n.Kind == KindMessage {
		if isMarkup(n.Text) {
			p.Letter, n.Text = fromMarkup(n.Text)
		}
		p.Paragraphs = paragraphs(n.Text)
	} else {
		if texts[string(n.Kind)+".text"] == "" {
			return Message{}, fmt.Errorf("%w: %.40q", ErrKind, n.Kind)
		}
		p.Greeting = say("greeting_nobody")
		if n.Handle != "" {
			p.Greeting = say("greeting")
		}
		p.Paragraphs = []string{say(string(n.Kind) + ".text")}
		switch {
		case decisions[n.Kind]:
			p.Code = ""
			p.After = paragraphs(n.Text)
		case notices[n.Kind]:
			p.After = []string{say("not_you_changed")}
		case dangerous[n.Kind]:
			p.After = []string{say("code_valid"), say("not_you_danger")}
		default:
			p.After = []string{say("code_valid"), say("not_you")}
		}
	}
	var html, text strings.Builder
	if err := htmlForm().Execute(&html, p); err != nil {
		return Message{}, fmt.Errorf("mail in HTML: %w", err)
	}
	if err := textForm().Execute(&text, p); err != nil {
		return Message{}, fmt.Errorf("mail in text: %w", err)
	}
	return Message{Subject: p.Subject, Text: text.String(), HTML: html.String()}, nil
}

// paragraphs are the parts of a text with empty lines between them.
func paragraphs(text string) (out []string) {
	for para := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		if para = strings.Trim(para, "\n"); para != "" {
			out = append(out, para)
		}
	}
	return out
}

// oneLine keeps what becomes a header, or stands in a line of text, in one.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}
