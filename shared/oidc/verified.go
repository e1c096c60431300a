package oidc

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/krosai/telephony/shared/account"
)

// maxVerified is how many tokens each half of a verifiedSet holds.
const maxVerified = 500

// verified is a token that has been verified: the caller that it speaks for, the time in which its
// claims need no other check, and the key that signed it.
type verified struct {
	caller     account.Caller
	from, till time.Time
	kid        string
	reading    int // the reading of the issuer's keys that found the key
}

// verifiedSet remembers the tokens that were verified last, by their SHA-256. It has two halves. If
// the young half is full, it becomes the old half, and the previous old half is dropped. So the set
// stays small, and a token in use stays in it.
type verifiedSet struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]verified
}

// find returns a token if its claims are valid at now.
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

// put adds a token. The caller holds s.mu.
func (s *verifiedSet) put(sum [sha256.Size]byte, v verified) {
	if len(s.young) >= maxVerified {
		s.old, s.young = s.young, nil
	}
	if s.young == nil {
		s.young = map[[sha256.Size]byte]verified{}
	}
	s.young[sum] = v
}
