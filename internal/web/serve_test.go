package web

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func TestServeSpecimen(t *testing.T) {
	if os.Getenv("SPECIMEN") == "" {
		return
	}
	of := someTenant()
	of.PublicURL = "http://a.test"
	of.Settings.DisplayName = "Nordlicht"
	of.Settings.BrandColor = os.Getenv("BRAND")
	of.Settings.SupportURL = "https://example.com/help"
	h := newHouse(t, of)
	_ = os.WriteFile("/tmp/frame-url", []byte(h.http.URL), 0o644)
	fmt.Println(h.http.URL)
	time.Sleep(40 * time.Minute)
}
