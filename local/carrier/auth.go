package carrier

import (
	"crypto/rand"
	"crypto/subtle"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// nonceLife is how long a challenge may be answered.
const nonceLife = time.Minute

// challenges are the nonces given out: each may be used with rising counts only (RFC 7616 section 5.5).
type challenges struct {
	mu     sync.Mutex
	issued map[string]*nonce
}

type nonce struct {
	at    time.Time
	count int // highest nonce count seen
}

// issue makes a new nonce and forgets those that have expired.
func (c *challenges) issue(now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for text, n := range c.issued {
		if now.Sub(n.at) > nonceLife {
			delete(c.issued, text)
		}
	}
	if c.issued == nil {
		c.issued = map[string]*nonce{}
	}
	text := rand.Text()
	c.issued[text] = &nonce{at: now}
	return text
}

// use reports whether the nonce was issued, is fresh and has not been used with this count.
func (c *challenges) use(text string, count int, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.issued[text]
	if n == nil || now.Sub(n.at) > nonceLife || count <= n.count {
		return false
	}
	n.count = count
	return true
}

// authorize is nil when the request may go on, else the status that refuses it: 407 or 403.
func (c *Carrier) authorize(req *sip.Request, mode AuthMode) (status int) {
	if mode == AuthNone || mode == AuthDefault && c.opts.Username == "" {
		return 0
	}
	header := req.GetHeader("Proxy-Authorization")
	if header == nil || mode == AuthAlways {
		return 407
	}
	if c.credentialsRight(header.Value(), string(req.Method)) {
		return 0
	}
	if mode == AuthForbidden {
		return 403
	}
	return 407
}

func (c *Carrier) credentialsRight(header, method string) bool {
	got, err := digest.ParseCredentials(header)
	if err != nil || got.QOP != "auth" || got.Realm != c.opts.Realm || got.Username != c.opts.Username {
		return false
	}
	want, err := digest.Digest(c.challenge(got.Nonce), digest.Options{
		Method: method, URI: got.URI, Count: got.Nc, Cnonce: got.Cnonce,
		Username: c.opts.Username, Password: c.opts.Password,
	})
	if err != nil || subtle.ConstantTimeCompare([]byte(want.Response), []byte(got.Response)) == 0 {
		return false
	}
	return c.challenges.use(got.Nonce, got.Nc, time.Now())
}

// challenge is what a 407 carries (RFC 3261 section 22.3). MD5 is what every SIP client speaks.
func (c *Carrier) challenge(nonce string) *digest.Challenge {
	return &digest.Challenge{Realm: c.opts.Realm, Nonce: nonce, Algorithm: "MD5", QOP: []string{"auth"}}
}

// answerChallenge puts credentials for the 401 or 407 into req. It reports false when the response has no challenge
// it can answer.
func answerChallenge(req *sip.Request, res *sip.Response, username, password string) bool {
	asks, answers := "WWW-Authenticate", "Authorization"
	if res.StatusCode == 407 {
		asks, answers = "Proxy-Authenticate", "Proxy-Authorization"
	}
	header := res.GetHeader(asks)
	if header == nil {
		return false
	}
	challenge, err := digest.ParseChallenge(header.Value())
	if err != nil {
		return false
	}
	credentials, err := digest.Digest(challenge, digest.Options{
		Method: string(req.Method), URI: req.Recipient.String(), Username: username, Password: password,
	})
	if err != nil {
		return false
	}
	req.AppendHeader(sip.NewHeader(answers, credentials.String()))
	return true
}
