package call

// Day is what became of the calls that a user's account had on one day, by the
// UTC date on which they were created.
type Day struct {
	Date        string             // 2026-11-22
	Started     int                // calls that were created
	Ended       map[Status]int     // calls that have ended, by their end
	TalkSeconds int                // of the completed ones, together
	Countries   map[string]Country // calls that have ended, by the other party's country
	Durations   Histogram          // of the completed ones
}

// Country is what became of the calls with one country.
type Country struct{ Total, Completed int }

// Total is how many calls of the day have ended.
func (d Day) Total() (n int) {
	for _, ended := range d.Ended {
		n += ended
	}
	return n
}

// Active is how many calls of the day have not ended.
func (d Day) Active() int { return max(0, d.Started-d.Total()) }
