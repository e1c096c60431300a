package carrier

import (
	"crypto/rand"
	"crypto/subtle"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// nonceLife is the time limit for the answer to a challenge.
const nonceLife = time.Minute

// challenges are the issued nonces. Each may be used with rising counts only (RFC 7616
// section 5.5).
type challenges struct {
	mu     sync.Mutex
	issued map[string]*nonce
}

type nonce struct {
	at    time.Time
	count int // highest nonce count seen
}

// issue makes a new nonce and forgets the expired ones.
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

// use reports whether the nonce was issued, is fresh and has not been used with this count or a
// higher one.
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

// authorize returns 0 if the request may proceed, or else the status that refuses it: 407 or 403.
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

// challenge is the challenge of a 407 (RFC 3261 section 22.3). It uses MD5, because every SIP
// client supports it.
func (c *Carrier) challenge(nonce string) *digest.Challenge {
	return &digest.Challenge{Realm: c.opts.Realm, Nonce: nonce, Algorithm: "MD5", QOP: []string{"auth"}}
}

// answerChallenge adds the credentials for a 401 or 407 to req. It returns false if the response
// has no challenge that it can answer.
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
