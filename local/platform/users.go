package platform

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/krosai/telephony/functions/console"
	"github.com/krosai/telephony/local/issuer"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/oidc"
)

// adminUser is the administrator of .local/env. It is not the demo user, because no user may decide
// on their own request.
const adminUser = "ada.admin"

const (
	tokenLife  = 24 * time.Hour // the longest that the functions allow
	renewAfter = 12 * time.Hour
)

// startIssuer serves the issuer of users' tokens and issues the tokens of .local/env.
func (p *Platform) startIssuer() error {
	l, err := p.listenOn(p.port(3))
	if err != nil {
		return err
	}
	p.Access.Issuer = "http://" + l.Addr().String()
	p.issuer, err = issuer.Open(issuerFile(p.Config), issuer.Config{URL: p.Access.Issuer, Users: users(),
		Consoles: []string{p.Access.URL, strings.Replace(p.Access.URL, "127.0.0.1", "localhost", 1)}})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	p.serve(l, p.issuer)
	p.users, err = oidc.Open(oidc.Config{Issuer: p.Access.Issuer, Audience: []string{issuer.Audience}}, time.Now)
	if err != nil {
		return err
	}
	return p.issueTokens()
}

// users are those whom the sign-in page offers.
func users() []issuer.User {
	return []issuer.User{
		{ID: demoUser, Rights: "A user: places calls, reads their transcripts, configures a phone number and asks for more, has API keys and webhooks. " +
			"Sees nothing of other users."},
		{ID: adminUser, Roles: []string{account.Admin}, Rights: "An administrator: may do the same, and decides requests for numbers, keeps the inventory, " +
			"sets policies, sees the calls of all users and can stop them."},
	}
}

// console is what the console signs in with here.
func (p *Platform) console() console.Config {
	return console.Config{Issuer: p.Access.Issuer, ClientID: issuer.Client, Scope: "openid profile", RolesClaim: "roles",
		AuthorizationURL: p.Access.Issuer + issuer.AuthorizationPath, TokenURL: p.Access.Issuer + issuer.TokenPath,
		EndSessionURL: p.Access.Issuer + issuer.EndSessionPath, Version: version, Account: "laptop"}
}

func issuerFile(c Config) string { return filepath.Join(c.Dir, "issuer.pem") }

func (p *Platform) issueTokens() error {
	user, err := p.issuer.Token(demoUser, nil, tokenLife)
	if err != nil {
		return err
	}
	admin, err := p.issuer.Token(adminUser, []string{account.Admin}, tokenLife)
	if err != nil {
		return err
	}
	p.Access.UserJWT, p.Access.AdminJWT = user, admin
	return nil
}

// keepTokensFresh writes new tokens to .local/env long before the old ones expire.
func (p *Platform) keepTokensFresh(ctx context.Context) {
	p.running.Go(func() {
		issued := time.Now()
		tick := time.NewTicker(time.Minute)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if now := time.Now(); due(issued, now) {
				issued = now
				if err := errors.Join(p.issueTokens(), p.remember()); err != nil {
					p.log.Error("new tokens", "error", err)
				}
			}
		}
	})
}

// due reports whether the tokens must be replaced. It uses the wall clock, because the monotonic
// clock stops while a laptop sleeps.
func due(issued, now time.Time) bool { return now.Round(0).Sub(issued.Round(0)) >= renewAfter }

// Token issues a token as the platform that last ran in the folder c.Dir does. The platform need
// not be running.
func Token(c Config, sub string, roles []string, ttl time.Duration) (string, error) {
	env, err := readEnv(filepath.Join(c.Dir, "env"))
	if err != nil {
		return "", err
	}
	if env["KROS_ISSUER"] == "" {
		return "", errors.New("no platform has run in " + c.Dir + " yet: make run")
	}
	i, err := issuer.Open(issuerFile(c), issuer.Config{URL: env["KROS_ISSUER"]})
	if err != nil {
		return "", err
	}
	return i.Token(sub, roles, ttl)
}
