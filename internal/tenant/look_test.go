package tenant

import (
	"errors"
	"strings"
	"testing"
)

// Colours that cannot be read together are refused when they are set, and the text says why; links are checked.
func TestLooks(t *testing.T) {
	for _, c := range []struct {
		patch map[string]string
		want  string // of the refusal; "": it is taken
	}{
		{map[string]string{"brand_color": "#1f4b99", "brand_text_color": "#ffffff"}, ""},
		{map[string]string{"brand_color": "#ffcc00"}, ""},
		{map[string]string{"brand_color": "#ffcc00", "brand_text_color": "#ffffff"}, "brand_text_color has a contrast of 1.5 to brand_color, and must have 4.5"},
		{map[string]string{"brand_color": "ffcc00"}, "must be a colour like"},
		{map[string]string{"background_light": "#f0f4ff", "background_dark": "#101418"}, ""},
		{map[string]string{"background_light": "#8899aa"}, "background_light has a contrast of"},
		{map[string]string{"background_dark": "#556677"}, "background_dark has a contrast of"},
		{map[string]string{"error_color": "#ff0000", "warning_color": "#ffee00", "info_color": "#0000ff", "success_color": "#00ff00"}, ""},
		{map[string]string{"page_links": `[{"href":"https://example.com/rules","title":"Rules","titles":{"de":"Regeln"},"rel":"help"}]`}, ""},
		{map[string]string{"page_links": `[{"href":"javascript:alert(1)","title":"x"}]`}, "is not an http(s) URL"},
		{map[string]string{"page_links": `[{"href":"https://example.com","title":""}]`}, "title and titles must have"},
		{map[string]string{"page_links": `[{"href":"https://example.com","title":"x","titles":{"de":""}}]`}, "title and titles must have"},
		{map[string]string{"page_links": `[{"href":"https://example.com","title":"x","rel":"a b"}]`}, "rel:"},
		{map[string]string{"page_links": `[{"href":"https://example.com","titel":"x"}]`}, "must be JSON like"},
		{map[string]string{"page_links": `{}`}, "must be JSON like"},
		{map[string]string{"page_links": "[" + strings.Repeat(`{"href":"https://example.com","title":"x"},`, 10) + `{"href":"https://example.com","title":"x"}]`}, "at most 10 links"},
	} {
		_, err := chosen{}.apply(c.patch)
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrBadSetting)):
			t.Errorf("%v: %v", c.patch, err)
		}
	}
	s := Settings{PageLinks: `[{"href":"https://example.com","title":"Rules","titles":{"de":"Regeln"}}]`}
	if l := s.Links(); len(l) != 1 || l[0].TitleIn("de") != "Regeln" || l[0].TitleIn("fr") != "Rules" {
		t.Error(l)
	}
	if got := contrast("#000000", "#ffffff"); got != 21 {
		t.Error(got)
	}
}
