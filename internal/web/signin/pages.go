package signin

import (
	"embed"
	"net/http"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/web"
	"github.com/auroralocus/locus/internal/xrpc"
)

//go:embed *.html
var files embed.FS

// templates are parsed by who serves them: commands, which are the same program, start without.
var templates = sync.OnceValue(func() web.Pages { return web.ParsePages(files) })

// The addresses.
const (
	pathAuthorize = "/oauth/authorize"
	pathLeave     = "/oauth/authorize/redirect"
	pathSignIn    = "/account/sign-in"
	pathSignOut   = "/account/sign-out"
	pathHandle    = "/account/sign-up/handle" // asked by a script
	pathAccount   = "/account"
	pathPassword  = "/account/password"
)

// Config is what the pages work with.
type Config struct {
	Frame  *web.Frame
	Acts   *act.Acts
	Limits *limit.Counter // nil: nothing is counted
	// Captcha asks the services that tell people from programs; outbound made it.
	Captcha *http.Client
	// Floor is how long an answer takes at least that could tell whether there is an account. 0: [Floor].
	Floor time.Duration
}

// Floor is more than the work takes that depends on whether there is an account.
const Floor = 400 * time.Millisecond

// Pages are the pages.
type Pages struct{ Config }

// New makes them.
func New(c Config) *Pages {
	if c.Floor == 0 {
		c.Floor = Floor
	}
	return &Pages{c}
}

// Register serves the pages.
func (p *Pages) Register(g *xrpc.Group) {
	templates() // a broken one is found now, not by a visitor
	p.Frame.Get(g, pathAuthorize, p.getAuthorize)
	p.Frame.Post(g, pathAuthorize, p.postAuthorize)
	p.Frame.Get(g, pathLeave, p.leave)
	p.Frame.Get(g, pathSignIn, p.getSignIn)
	p.Frame.Post(g, pathSignIn, p.postSignIn)
	p.Frame.Post(g, pathSignOut, p.signOut)
	p.Frame.Get(g, "/.well-known/change-password", func(v *web.Visit) error { return v.Redirect(pathPassword) })
	p.Frame.GetScript(g, pathHandle, p.lookAtHandle)
}

// slow has what an answer says take the same time whatever it is.
func (p *Pages) slow(v *web.Visit) (wait func()) {
	floor := time.NewTimer(p.Floor)
	return func() {
		select {
		case <-floor.C:
		case <-v.R.Context().Done():
			floor.Stop()
		}
	}
}
