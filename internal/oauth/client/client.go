// Package client knows who asks for access: what a client's id may look like, the document that it leads to, where
// people are sent back to, and the keys with which confidential clients prove who they are.
//
// spec: oauth#clients
package client

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/oauth/jose"
	"github.com/auroralocus/locus/internal/oauth/scope"
)

// Errors of this package. Their text is for the client's developer.
var (
	// ErrID: the client id cannot be one.
	ErrID = errors.New("invalid client_id")
	// ErrMetadata: the client's document cannot be had, or breaks a rule.
	ErrMetadata = errors.New("invalid client metadata")
	// ErrUnavailable: the document cannot be had at the moment; it may be good.
	ErrUnavailable = errors.New("client metadata is out of reach")
	// ErrRedirect: the address to go back to is not the client's.
	ErrRedirect = errors.New("invalid redirect_uri")
	// ErrAuthentication: the client did not prove who it is.
	ErrAuthentication = errors.New("invalid client credentials")
)

// Client is who asks for access, by its document.
type Client struct {
	ID          string
	Name        string // by its own word
	URI         string
	Logo        string
	TOS         string
	Policy      string
	Redirects   []string
	Scope       string // that it declares, letter for letter
	Native      bool
	Development bool // http://localhost: there is no document
	Refreshes   bool // it may go on with refresh tokens
	// Confidential clients prove who they are by one of Keys, or of those at KeysURL.
	Confidential bool
	SigningAlg   string
	Keys         []*jose.Key
	KeysURL      string
}

// Host is the part of the id that people know: where the client is at home.
func (c *Client) Host() string {
	u, err := url.Parse(c.ID)
	if err != nil {
		return c.ID
	}
	return u.Host
}

const maxID = 2000

// isDevelopment says whether an id is the one of programs on a developer's machine.
func isDevelopment(id string) bool {
	rest, ok := strings.CutPrefix(id, "http://localhost")
	return ok && (rest == "" || rest[0] == '/' || rest[0] == '?' || rest[0] == '#' || rest[0] == ':' || rest[0] == '@')
}

// CheckID says why an id cannot lead to a document. private says whether a host that is not public is allowed (tests and
// development). Errors: [ErrID].
func CheckID(id string, private func(host string) bool) error {
	refuse := func(why string) error { return fmt.Errorf("%w: %s", ErrID, why) }
	if len(id) > maxID {
		return refuse("it is too long")
	}
	u, err := url.Parse(id)
	if err != nil {
		return refuse("it is not a URL")
	}
	host := u.Hostname()
	switch {
	case u.Scheme != "https":
		return refuse("it has to be an https URL")
	case u.User != nil:
		return refuse("it has credentials")
	case strings.Contains(id, "#"):
		return refuse("it has a fragment")
	case u.Path == "" || u.Path == "/":
		return refuse("it needs a path")
	case strings.HasSuffix(u.Path, "/"):
		return refuse("its path ends with a slash")
	case u.EscapedPath() != canonicalPath(u) || !strings.HasPrefix(id, "https://"+u.Host+u.EscapedPath()) || strings.ToLower(u.Host) != u.Host || u.Port() == "443":
		return refuse("it is not in canonical spelling")
	case private != nil && private(u.Host):
		return nil
	case isAddress(host):
		return refuse("its host is an address")
	case !isPublicName(host):
		return refuse("its host is not a public name")
	}
	return nil
}

// canonicalPath is the path as it must be written: nothing escaped that need not be, no dot segments, no double slash.
func canonicalPath(u *url.URL) string {
	clean := (&url.URL{Path: u.Path}).EscapedPath()
	if slices.ContainsFunc(strings.Split(u.Path, "/")[1:], func(s string) bool { return s == "." || s == ".." || s == "" }) {
		return ""
	}
	return clean
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || strings.Contains(host, ":")
}

// isPublicName says whether a name may belong to somebody on the internet.
// spec: RFC 6761
func isPublicName(host string) bool {
	if !strings.Contains(host, ".") || isAddress(host) {
		return false
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == "" || strings.Trim(last, "0123456789") == "" {
		return false
	}
	return !slices.Contains([]string{"test", "local", "localhost", "invalid", "example", "internal", "onion"}, last)
}

// development is the client that an id on localhost describes by its own query.
func development(id string) (*Client, error) {
	refuse := func(why string) (*Client, error) { return nil, fmt.Errorf("%w: %s", ErrID, why) }
	u, err := url.Parse(id)
	if err != nil || len(id) > maxID {
		return refuse("it is not a URL")
	}
	if u.Host != "localhost" || u.Path != "" && u.Path != "/" || u.User != nil || strings.Contains(id, "#") {
		return refuse("a client on localhost is http://localhost, with redirect_uri and scope in its query")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return refuse("its query is malformed")
	}
	c := &Client{ID: id, Name: "Development client", Native: true, Development: true, Refreshes: true, Scope: scope.Atproto, Redirects: []string{"http://127.0.0.1/", "http://[::1]/"}}
	for key, values := range q {
		switch {
		case key == "redirect_uri":
			c.Redirects = values
		case key == "scope" && len(values) == 1:
			c.Scope = values[0]
		default:
			return refuse("its query may have redirect_uri, and scope once")
		}
	}
	if !scope.WellFormed(c.Scope) {
		return refuse("its scope has to hold atproto, and nothing twice")
	}
	for _, r := range c.Redirects {
		u, err := url.Parse(r)
		if err != nil || u.Scheme != "http" || !isLoopback(u.Hostname()) || u.User != nil || strings.Contains(r, "#") {
			return refuse("its redirect_uri has to be on 127.0.0.1 or [::1]")
		}
	}
	return c, nil
}

func isLoopback(host string) bool { return host == "127.0.0.1" || host == "::1" }

// Redirect is where people are sent back to: what a request asks for, if it is the client's, or the only one there is.
// On loopback any port will do, unless the client names one: programs take the port that is free. Errors: [ErrRedirect].
// spec: RFC 8252 section 7.3
func (c *Client) Redirect(asked string) (string, error) {
	if asked == "" {
		if len(c.Redirects) == 1 {
			return c.Redirects[0], nil
		}
		return "", fmt.Errorf("%w: it is missing, and the client has more than one", ErrRedirect)
	}
	if slices.Contains(c.Redirects, asked) {
		return asked, nil
	}
	u, err := url.Parse(asked)
	if err == nil && u.Scheme == "http" && isLoopback(u.Hostname()) && u.User == nil && !strings.Contains(asked, "#") {
		for _, r := range c.Redirects {
			if have, err := url.Parse(r); err == nil && have.Scheme == "http" && have.Port() == "" && have.Hostname() == u.Hostname() && slash(have) == slash(u) && have.RawQuery == u.RawQuery {
				return asked, nil
			}
		}
	}
	return "", fmt.Errorf("%w: the client has not registered %q", ErrRedirect, asked)
}

func slash(u *url.URL) string {
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}
