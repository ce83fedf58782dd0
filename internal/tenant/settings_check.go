package tenant

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/identity"
)

func eachNetwork(p any) error {
	list := *p.(*[]string)
	if len(list) > 1000 {
		return errors.New("must have at most 1000 entries")
	}
	for _, item := range list {
		if _, err := netip.ParsePrefix(item); err == nil {
			continue
		}
		if _, err := netip.ParseAddr(item); err != nil {
			return fmt.Errorf("%.60q is neither an address nor a network", item)
		}
	}
	return nil
}

func aSHA256(p any) error {
	text := *p.(*string)
	if raw, err := hex.DecodeString(text); err != nil || len(raw) != 32 && text != "" {
		return errors.New("must be 64 hex digits")
	}
	return nil
}

func aTime(p any) error {
	text := *p.(*string)
	if _, err := time.Parse(time.RFC3339, text); err != nil && text != "" {
		return fmt.Errorf("%.40q is not a time like 2026-01-31T00:00:00Z", text)
	}
	return nil
}

func aServiceDID(p any) error {
	text := *p.(*string)
	did, fragment, _ := strings.Cut(text, "#")
	if text != "" && (!identity.IsService(did) || fragment != "" && fragment != "atproto_labeler" || len(text) > 512) {
		return fmt.Errorf("%.100q is not a did:plc or did:web, alone or with #atproto_labeler", text)
	}
	return nil
}

func between(lo, hi int64) func(any) error {
	return func(p any) error {
		v := int64(0)
		switch p := p.(type) {
		case *int:
			v = int64(*p)
		case *int64:
			v = *p
		}
		if v < lo || v > hi {
			return fmt.Errorf("must be from %d to %d", lo, hi)
		}
		return nil
	}
}

func maxText(n int) func(any) error {
	return func(p any) error {
		if len(*p.(*string)) > n {
			return fmt.Errorf("must have at most %d bytes", n)
		}
		return nil
	}
}

func eachText(size, count int) func(any) error {
	return func(p any) error {
		list := *p.(*[]string)
		if len(list) > count {
			return fmt.Errorf("must have at most %d entries", count)
		}
		for i, item := range list {
			if item == "" || len(item) > size {
				return fmt.Errorf("entries must have 1 to %d bytes", size)
			}
			list[i] = strings.ToLower(item)
		}
		return nil
	}
}

func aURL(p any) error { return checkURL(*p.(*string)) }

func eachURL(p any) error {
	list := *p.(*[]string)
	if len(list) > 20 {
		return errors.New("must have at most 20 entries")
	}
	for _, item := range list {
		if item == "" {
			return errors.New("must hold no empty entry")
		}
		if err := checkURL(item); err != nil {
			return err
		}
	}
	return nil
}

func checkURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || len(text) > 512 || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
		return fmt.Errorf("%.100q is not an http(s) URL", text)
	}
	return nil
}

func anEmail(p any) error {
	text := *p.(*string)
	if text == "" {
		return nil
	}
	if a, err := mail.ParseAddress(text); err != nil || a.Address != text || len(text) > 254 {
		return fmt.Errorf("%.100q is not a mail address", text)
	}
	return nil
}

// aBlobStore looks at the form only; blob.CheckLocation knows the rest.
func aBlobStore(p any) error {
	text := *p.(*string)
	if text == "" || text == "data:" || len(text) <= 500 && (strings.HasPrefix(text, "disk:/") || strings.HasPrefix(text, "s3://")) {
		return nil
	}
	return errors.New("must be data:, disk:/folder or s3://bucket/prefix?endpoint=URL")
}

func aRedirect(p any) error {
	text := *p.(*string)
	if text == "" || text == "presigned" {
		return nil
	}
	if !strings.Contains(text, "{did}") || !strings.Contains(text, "{cid}") {
		return errors.New("must have {did} and {cid} in it")
	}
	return checkURL(strings.NewReplacer("{did}", "did", "{cid}", "cid").Replace(text))
}

func aDIDKey(p any) error {
	text := *p.(*string)
	if text != "" && (!strings.HasPrefix(text, "did:key:z") || len(text) > 256) {
		return fmt.Errorf("%.100q is not a did:key", text)
	}
	return nil
}

var colorForm = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

func aColor(p any) error {
	if s := *p.(*string); s != "" && !colorForm.MatchString(s) {
		return errors.New("must be a colour like #1f4b99")
	}
	return nil
}

// eachClient looks at client ids. They are case-sensitive.
func eachClient(p any) error {
	list := *p.(*[]string)
	if len(list) > 1000 {
		return errors.New("must have at most 1000 entries")
	}
	for _, item := range list {
		if !strings.HasPrefix(item, "https://") || len(item) > 2000 || strings.ContainsAny(item, " \t") {
			return fmt.Errorf("%.100q is not a client_id: an https URL", item)
		}
	}
	return nil
}
