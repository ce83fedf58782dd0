package console

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/operator"
)

const (
	pathEnter = Root + "/enter"
	pathSetup = Root + "/setup"
	pathOwn   = Root + "/own"
)

func (s *Server) registerEntrance() {
	s.get(Root+"/{$}", anybody, func(v *Visit) error { return v.goHome() })
	s.get(Root, anybody, func(v *Visit) error { return v.goHome() })
	s.get(Root+"/sign-in", anybody, func(v *Visit) error {
		if v.User != nil {
			return v.goHome()
		}
		return v.entrance(http.StatusOK, nil)
	})
	s.post(Root+"/sign-in", anybody, (*Visit).signInByCode)
	s.post(Root+"/passkey", anybody, (*Visit).signInByPasskey)
	s.get(pathEnter, anybody, func(v *Visit) error { return v.Show(http.StatusOK, "enter", v.Query("code")) })
	s.post(pathEnter, anybody, (*Visit).enterByLink)
	s.post(Root+"/sign-out", newcomer, (*Visit).signOut)
}

func (v *Visit) goHome() error {
	if v.User == nil {
		return v.entrance(http.StatusOK, nil)
	}
	if v.Session.Setup() {
		return v.redirect(pathSetup)
	}
	return v.redirect(home(v.User))
}

// entrancePage is where one signs in.
type entrancePage struct {
	Options string // what the browser is asked for a passkey; "": there are none here
	Next    string
	Retry   bool // the browser may have kept its cookies back: it came from elsewhere
}

func (v *Visit) entrance(status int, p *problem) error {
	v.wrong = p
	data := entrancePage{Next: v.next()}
	site := v.R.Header.Get("Sec-Fetch-Site")
	data.Retry = site == "cross-site" || site == "same-site"
	if v.hasPasskeys() {
		b, err := v.s.Acts.DashboardAsk(v.ctx(), v.seat())
		if err != nil {
			return err
		}
		data.Options = string(b)
	}
	return v.Show(status, "sign-in", data)
}

// next is where somebody wanted to go before signing in.
func (v *Visit) next() string {
	to := v.R.URL.Path
	if v.R.Method == http.MethodPost {
		to = v.Form.Get("next")
	}
	if to == Root+"/" || to == Root+"/sign-in" || to == pathEnter || !strings.HasPrefix(to, Root+"/") || strings.ContainsAny(to, "\\\r\n\t") || len(to) > 300 {
		return ""
	}
	return to
}

func (v *Visit) signInByCode() error {
	token := strings.TrimSpace(v.Form.Get("token"))
	if !v.s.rates.MayTry(v.addr) || !v.s.codes.mayTry(token) {
		return errTooMany
	}
	e, err := v.s.Acts.DashboardByCode(v.ctx(), v.seat(), v.Form.Text("tenant"), token, v.Form.Get("code"))
	if errors.Is(err, operator.ErrCode) || errors.Is(err, operator.ErrNoFactor) {
		v.s.codes.failed(token)
	}
	return v.entered(e, err)
}

func (v *Visit) signInByPasskey() error {
	if !v.s.rates.MayTry(v.addr) {
		return errTooMany
	}
	e, err := v.s.Acts.DashboardByPasskey(v.ctx(), v.seat(), []byte(v.Form.Get("passkey")))
	return v.entered(e, err)
}

// entered lets somebody in, or says why not. What fails is counted, and is a line of the log that fail2ban knows.
func (v *Visit) entered(e act.DashboardEntry, err error) error {
	if err != nil {
		p, hidden := problemOf(v.ctx(), err)
		if hidden {
			return err
		}
		v.failed(err)
		return v.entrance(p.status, p)
	}
	next := v.next()
	v.signIn(e)
	if next == "" {
		next = home(&e.User)
	}
	return v.redirect(next)
}

// failed counts somebody who is no operator, for whom err was the answer.
func (v *Visit) failed(err error) {
	v.s.rates.Failed(v.addr)
	wrong := "passkey"
	switch {
	case errors.Is(err, auth.ErrOperator):
		wrong = "token"
	case errors.Is(err, operator.ErrCode), errors.Is(err, operator.ErrNoFactor):
		wrong = "code"
	case errors.Is(err, operator.ErrLink):
		wrong = "link"
	}
	v.s.Acts.FailedOperator(v.ctx(), limit.Network(v.addr), wrong)
}

func (v *Visit) enterByLink() error {
	if !v.s.rates.MayTry(v.addr) {
		return errTooMany
	}
	e, err := v.s.Acts.DashboardByLink(v.ctx(), v.seat(), v.Form.Get("code"))
	if errors.Is(err, operator.ErrLink) {
		v.failed(err)
	}
	if err != nil {
		return v.refusedForm(err, func(status int) error { return v.Show(status, "enter", v.Form.Get("code")) })
	}
	v.signIn(e)
	return v.redirect(pathSetup)
}

func (v *Visit) signOut() error {
	if err := v.s.Acts.LeaveDashboard(v.ctx(), v.By(), *v.User, v.Session); err != nil && !errors.Is(err, operator.ErrNotIn) {
		return err
	}
	v.cookies().Clear(cookieSession)
	return v.redirect(Root + "/sign-in")
}

// What a token's bad codes may be: a thief of a token must not try all of them.
const (
	maxCodes   = 5
	codeWindow = 15 * time.Minute
	mostCodes  = 1000 // tokens: beyond it all share one count
)

// codes counts bad codes by token, in each process for itself.
type codes struct {
	now  func() time.Time
	mu   sync.Mutex
	ends time.Time
	bad  map[string]int
}

func newCodes(now func() time.Time) *codes { return &codes{now: now, bad: map[string]int{}} }

func (c *codes) of(token string) string {
	if now := c.now(); !now.Before(c.ends) {
		c.ends, c.bad = now.Add(codeWindow), map[string]int{}
	}
	sum := sha256.Sum256([]byte(token))
	name := hex.EncodeToString(sum[:8])
	if _, ok := c.bad[name]; !ok && len(c.bad) >= mostCodes {
		return ""
	}
	return name
}

func (c *codes) mayTry(token string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bad[c.of(token)] < maxCodes
}

func (c *codes) failed(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad[c.of(token)]++
}
