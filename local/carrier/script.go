package carrier

import "time"

// Script is a callee's behavior in a call. With the zero Script the telephone rings at once
// and forever.
type Script struct {
	Ring        time.Duration // from INVITE to the 180
	NoRing      bool          // no 180; the final answer comes after Ring + RingFor
	EarlyMedia  bool          // a 183 with the callee's audio in place of the 180
	RingLate    time.Duration // from that 183 to an additional 180; 0 = none
	RingFor     time.Duration // from the 180 to the final answer
	Status      int           // the final answer; 0 = never answers
	Reason      string        // reason phrase; empty = the standard one
	HangUpAfter time.Duration // after the answer; 0 = the other side hangs up
	Silent      bool          // sends no audio
	DTMF        string        // digits sent once the answer is acknowledged; 'w' pauses 500 ms
	DTMFInfo    bool          // as SIP INFO (application/dtmf-relay) instead of RTP events
	// Expires ends the call unless the other side refreshes the session in time with a re-INVITE or
	// an UPDATE, as the answer demands (RFC 4028). 0 means never.
	Expires time.Duration
	Auth    AuthMode
	Refer   Refer
	ReferTo func(target string) Refer // answer by target ("tel:+1…"); used instead of Refer unless nil
}

// AuthMode says how the carrier treats an INVITE's credentials.
type AuthMode int

// The modes of authentication.
const (
	AuthDefault   AuthMode = iota // if Options has a Username: 407 until the credentials are right
	AuthNone                      // no credentials required
	AuthAlways                    // 407 to every INVITE
	AuthForbidden                 // 407 without credentials, 403 to wrong ones
)

// Refer is the answer to a REFER, the request to transfer the call (RFC 3515).
type Refer struct {
	Status int  // answer to REFER; 0 = 202
	Mute   bool // no answer to REFER at all
	// Notify are the reported codes in order. The last one is the outcome. Nil means 100 and 200.
	// Empty but not nil means that the carrier never sends a NOTIFY.
	Notify      []int
	NotifyAfter time.Duration // from the answer to the last NOTIFY; 0 = 500 ms
	// Bye makes the carrier hang up after it reported success, or without any report if it sends
	// none. False leaves that to the other side.
	Bye bool
}

// Cast is the table of the simulated carrier's numbers: it returns the script of each callee.
//
//	+14155550100  answers after 1 s, talks, stays until the other side ends
//	+14155550101  answers after 1 s, hangs up after 3 s
//	+14155550102  busy (486)
//	+14155550103  declines (603)
//	+14155550104  rings, never answers
//	+14155550105  does not exist (404)
//	+14155550106  carrier failure (503)
//	+14155550107  answers after 10 s of ringing
//	+14155550108  answers; refuses to be transferred (REFER 603)
//	+14155550109  answers; the transfer target is busy (NOTIFY 486)
//	+14155550150  answers after 1 s; sends a 183 with audio in place of the 180
//	+14155550151  the same, and a 180 half a second after the 183
//	+14155550152  has moved (302)
//	+14155550153  answers; never answers a REFER
//	+14155550154  takes no credentials (407 to all)
//	+14155550155  answers; sends the digits 42# as SIP INFO
//	+14155550156  answers; hangs up after 90 s unless the session is refreshed (RFC 4028)
//	+14155550157  does not want the call (607)
//	+14155550158  has a service that rejects the call (608)
//	any other     answers after 1 s, hangs up after 5 s
func Cast(callee string) Script {
	const ring = 150 * time.Millisecond
	answers := Script{Ring: ring, RingFor: time.Second - ring, Status: 200}
	switch callee {
	case "+14155550100":
		return answers
	case "+14155550101":
		answers.HangUpAfter = 3 * time.Second
		return answers
	case "+14155550102":
		return Script{Ring: ring, RingFor: time.Second - ring, Status: 486}
	case "+14155550103":
		return Script{Ring: ring, RingFor: time.Second - ring, Status: 603}
	case "+14155550104":
		return Script{Ring: ring}
	case "+14155550105":
		return Script{NoRing: true, RingFor: 300 * time.Millisecond, Status: 404}
	case "+14155550106":
		return Script{NoRing: true, RingFor: 300 * time.Millisecond, Status: 503}
	case "+14155550107":
		return Script{Ring: ring, RingFor: 10 * time.Second, Status: 200}
	case "+14155550108":
		answers.Refer.Status = 603
		return answers
	case "+14155550109":
		answers.Refer.Notify = []int{100, 180, 486}
		return answers
	}
	if s, ok := oddities[callee]; ok {
		return s
	}
	answers.HangUpAfter = 5 * time.Second
	return answers
}

// oddities are behaviors that only some carriers show.
var oddities = map[string]Script{
	"+14155550150": {Ring: 150 * time.Millisecond, RingFor: 850 * time.Millisecond, Status: 200, EarlyMedia: true},
	"+14155550151": {Ring: 150 * time.Millisecond, RingFor: 850 * time.Millisecond, Status: 200, EarlyMedia: true, RingLate: 500 * time.Millisecond},
	"+14155550152": {NoRing: true, RingFor: 300 * time.Millisecond, Status: 302},
	"+14155550153": {Ring: 150 * time.Millisecond, RingFor: 850 * time.Millisecond, Status: 200, Refer: Refer{Mute: true}},
	"+14155550154": {Status: 200, Auth: AuthAlways},
	"+14155550155": {Ring: 150 * time.Millisecond, RingFor: 850 * time.Millisecond, Status: 200, DTMF: "42#", DTMFInfo: true},
	"+14155550156": {Ring: 150 * time.Millisecond, RingFor: 850 * time.Millisecond, Status: 200, Expires: 90 * time.Second},
	"+14155550157": {Ring: 150 * time.Millisecond, RingFor: 850 * time.Millisecond, Status: 607},
	"+14155550158": {NoRing: true, RingFor: 300 * time.Millisecond, Status: 608},
}

// reason is the standard reason phrase of a status code (RFC 3261 section 21), for the codes that
// carriers send.
func reason(status int) string {
	phrases := map[int]string{
		100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted",
		302: "Moved Temporarily", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
		405: "Method Not Allowed", 407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone",
		480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 484: "Address Incomplete",
		486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 500: "Server Internal Error",
		501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Server Time-out",
		600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 607: "Unwanted", 608: "Rejected",
	}
	if p, ok := phrases[status]; ok {
		return p
	}
	return "Unknown"
}
