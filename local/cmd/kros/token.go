package main

import (
	"flag"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/krosai/telephony/local/platform"
	"github.com/krosai/telephony/shared/account"
)

// token prints a JWT of any user, for use on this machine: kros token -sub alice.
func token(c platform.Config, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("kros token", flag.ContinueOnError)
	sub := flags.String("sub", "demo", "the user's id: letters, digits and ._|:@-")
	admin := flags.Bool("admin", false, "make the user an administrator")
	ttl := flags.Duration("ttl", 24*time.Hour, "how long the token is valid, 24h at most")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("token takes no argument %q", flags.Arg(0))
	case !regexp.MustCompile(`^[A-Za-z0-9._|:@-]{1,128}$`).MatchString(*sub):
		return fmt.Errorf("-sub %q is not a user's id", *sub)
	case *ttl < time.Second || *ttl > 24*time.Hour:
		return fmt.Errorf("-ttl %s is not between 1s and 24h", *ttl)
	}
	var roles []string
	if *admin {
		roles = []string{account.Admin}
	}
	text, err := platform.Token(c, *sub, roles, *ttl)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, text)
	return err
}
