package tenant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Link is one of the setting page_links.
type Link struct {
	Href   string            `json:"href"`
	Title  string            `json:"title"`            // where there is none in the reader's language
	Titles map[string]string `json:"titles,omitempty"` // by the tag of the language
	Rel    string            `json:"rel,omitempty"`
}

const (
	maxLinks    = 10
	maxLinkText = 60
)

// TitleIn is the link's text in a language.
func (l Link) TitleIn(lang string) string {
	if t := l.Titles[lang]; t != "" {
		return t
	}
	return l.Title
}

// Links are the links of the setting page_links.
func (s *Settings) Links() []Link {
	links, err := parseLinks(s.PageLinks)
	if err != nil {
		return nil // it was checked when it was set
	}
	return links
}

func parseLinks(text string) ([]Link, error) {
	if text == "" {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	var out []Link
	if err := d.Decode(&out); err != nil {
		return nil, errors.New(`must be JSON like [{"href":"https://example.com/help","title":"Help","titles":{"de":"Hilfe"}}]`)
	}
	return out, nil
}

var relForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

func someLinks(p any) error {
	text := *p.(*string)
	links, err := parseLinks(text)
	switch {
	case err != nil:
		return err
	case len(text) > 4096:
		return errors.New("must have at most 4096 bytes")
	case len(links) > maxLinks:
		return fmt.Errorf("must have at most %d links", maxLinks)
	}
	for _, l := range links {
		if l.Href == "" || checkURL(l.Href) != nil {
			return fmt.Errorf("href: %.100q is not an http(s) URL", l.Href)
		}
		if l.Rel != "" && !relForm.MatchString(l.Rel) {
			return fmt.Errorf("rel: %.40q is not a word like help", l.Rel)
		}
		for _, title := range append([]string{l.Title}, values(l.Titles)...) {
			if strings.TrimSpace(title) == "" || len([]rune(title)) > maxLinkText {
				return fmt.Errorf("title and titles must have 1 to %d characters", maxLinkText)
			}
		}
	}
	return nil
}

func values(m map[string]string) []string {
	var out []string
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

// Text on a ground must be this much brighter or darker.
//
// It is the rule 1.4.3 of WCAG 2.2.
const minContrast = 4.5

// looksGood says whether colours that are set together can be read. The pages' own text is nearly black on the light
// background and nearly white on the dark one.
func (s *Settings) looksGood() error {
	const ink, paper = "#1c2029", "#ecebe6"
	for _, pair := range []struct{ key, ground, text, what string }{
		{"brand_text_color", s.BrandColor, s.BrandTextColor, "brand_color"},
		{"background_light", s.BackgroundLight, ink, "the text of pages, which is nearly black"},
		{"background_dark", s.BackgroundDark, paper, "the text of pages, which is nearly white"},
	} {
		if pair.ground == "" || pair.text == "" {
			continue
		}
		least := minContrast
		if pair.what != "brand_color" {
			least = 10 // text on tinted boxes, and softer text, need room
		}
		if c := contrast(pair.ground, pair.text); c < least {
			return fmt.Errorf("%w: %s has a contrast of %.1f to %s, and must have %.1f", ErrBadSetting, pair.key, c, pair.what, least)
		}
	}
	return nil
}

// contrast of two colours #rrggbb, from 1 to 21.
func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(color string) float64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(color, "#"), 16, 32)
	if err != nil {
		return 0
	}
	part := func(shift uint, weight float64) float64 {
		x := float64(n>>shift&0xff) / 255
		if x <= 0.04045 {
			return weight * x / 12.92
		}
		return weight * math.Pow((x+0.055)/1.055, 2.4)
	}
	return part(16, 0.2126) + part(8, 0.7152) + part(0, 0.0722)
}
