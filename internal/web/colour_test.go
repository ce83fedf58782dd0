package web

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/tenant"
)

var variable = regexp.MustCompile(`--([a-z-]+):(#[0-9a-f]{6});`)

// Whatever colours a tenant chooses, what stands on a page can be read, by day and by night.
func TestColoursCanBeRead(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	some := func() string { return rgb{r.Float64(), r.Float64(), r.Float64()}.String() }
	for i := range 400 {
		s := tenant.Defaults()
		if i > 0 {
			s.BrandColor, s.ErrorColor, s.WarningColor, s.InfoColor, s.SuccessColor = some(), some(), some(), some(), some()
		}
		if i > 100 { // what the setting takes: see TestLooks of package tenant
			for s.BackgroundLight == "" || contrast(colour(s.BackgroundLight, ""), colour("#1c2029", "")) < 10 {
				s.BackgroundLight = some()
			}
			for s.BackgroundDark == "" || contrast(colour(s.BackgroundDark, ""), colour("#ecebe6", "")) < 10 {
				s.BackgroundDark = colour(some(), "").mix(black, 0.8).String()
			}
		}
		day, night, _ := strings.Cut(colours(&s), "@media")
		for _, side := range []string{day, night} {
			v := map[string]rgb{}
			for _, m := range variable.FindAllStringSubmatch(side, -1) {
				v[m[1]], _ = parseColor(m[2])
			}
			least := func(text, ground string, want float64) {
				if c := contrast(v[text], v[ground]); c < want {
					t.Errorf("%s on %s: %.2f, want %.1f, with %+v: %s", text, ground, c, want, s.BrandColor, side)
				}
			}
			for _, ground := range []string{"page", "card", "wash", "error-tint", "warning-tint", "info-tint", "success-tint"} {
				least("ink", ground, 4.5)
			}
			for _, text := range []string{"soft", "accent", "error", "warning", "info", "success"} {
				least(text, "page", 4.5)
				least(text, "card", 4.5)
			}
			least("accent", "wash", 4.5)
			least("soft", "wash", 4.5)
			for _, kind := range []string{"error", "warning", "info", "success"} {
				least(kind, kind+"-tint", 4.5)
				least("on-"+kind, kind+"-fill", 4.5)
			}
			least("on-brand", "brand", 4.5)
			least("edge", "card", 3)
			least("edge", "page", 3)
		}
		if t.Failed() {
			break
		}
	}
}
