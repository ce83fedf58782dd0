package tenant

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
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
