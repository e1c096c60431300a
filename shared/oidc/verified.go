package oidc

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/krosai/telephony/shared/account"
)

// maxVerified is how many tokens one half of the set of verified ones holds.
const maxVerified = 500

// verified is a token that has been verified: for whom it speaks, the time in
// which that holds without another look at its claims, and the key that signed it.
type verified struct {
	caller     account.Caller
	from, till time.Time
	kid        string
	reading    int // of the issuer's keys, in which the key was
}

// verifiedSet remembers the tokens that were verified last, by their SHA-256. It
// has two halves: when the young one is full it becomes the old one, which is
// dropped. So the set stays small, and a token in use stays in it.
type verifiedSet struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]verified
}

// find returns a token that is good at now, as far as its claims say.
func (s *verifiedSet) find(sum [sha256.Size]byte, now time.Time) (verified, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.young[sum]
	if !ok {
		if v, ok = s.old[sum]; ok {
			s.put(sum, v)
		}
	}
	return v, ok && !now.Before(v.from) && now.Before(v.till)
}

func (s *verifiedSet) add(sum [sha256.Size]byte, v verified) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(sum, v)
}

// put adds a token while s.mu is held.
func (s *verifiedSet) put(sum [sha256.Size]byte, v verified) {
	if len(s.young) >= maxVerified {
		s.old, s.young = s.young, nil
	}
	if s.young == nil {
		s.young = map[[sha256.Size]byte]verified{}
	}
	s.young[sum] = v
}
