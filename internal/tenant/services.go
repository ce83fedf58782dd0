package tenant

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/auroralocus/locus/internal/identity"
)

// NoService is the setting of a tenant that does without a service, whatever the deployment has.
const NoService = "none"

// Service is a service of the network that calls are handed on to, as an operator names it: did:web:api.example#id=URL.
type Service struct {
	DID string
	ID  string // of the entry in the service's document, without #
	URL *url.URL
}

// Reference is the service as OAuth scopes and the header atproto-proxy name it.
func (s Service) Reference() string { return s.DID + "#" + s.ID }

// ParseService reads did#id=URL; the id may be left out, and is then the given one.
func ParseService(text, id string) (Service, error) {
	name, address, ok := strings.Cut(text, "=")
	did, fragment, has := strings.Cut(name, "#")
	if has {
		id = fragment
	}
	bad := fmt.Errorf("%.100q is not like did:web:api.example#%s=https://api.example, nor %s", text, id, NoService)
	if !ok || !identity.IsService(did) || id == "" || strings.ContainsAny(id, "#= ") || len(text) > 1024 || checkURL(address) != nil {
		return Service{}, bad
	}
	u, err := url.Parse(address)
	if err != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return Service{}, fmt.Errorf("%.100q is not a URL without a path", address)
	}
	return Service{DID: did, ID: id, URL: &url.URL{Scheme: u.Scheme, Host: u.Host}}, nil
}

// The ids that the entries of services usually have.
const (
	ServiceAppView = "bsky_appview"
	ServiceLabeler = "atproto_labeler"
	ServicePush    = "bsky_notif"
)

// aService looks at a setting that names a service, or none.
func aService(id string) func(any) error {
	return func(p any) error {
		text := *p.(*string)
		if text == "" || text == NoService {
			return nil
		}
		_, err := ParseService(text, id)
		return err
	}
}

// CheckPictures looks at the pattern of pictures' addresses.
func CheckPictures(text string) error {
	if text == "" || text == NoService {
		return nil
	}
	if strings.Count(text, "%s") != 3 || strings.Count(text, "%") != 3 {
		return errors.New("must have %s in it three times: for the kind, the DID and the CID")
	}
	return checkURL(strings.ReplaceAll(text, "%s", "x"))
}

func aPicturePattern(p any) error { return CheckPictures(*p.(*string)) }
