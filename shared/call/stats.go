package call

// Day counts the calls of a user's account that were created on one UTC date.
type Day struct {
	Date        string             // 2026-11-22
	Started     int                // calls created
	Ended       map[Status]int     // calls that have ended, by final status
	TalkSeconds int                // of all completed calls together
	Countries   map[string]Country // calls that have ended, by the other party's country
	Durations   Histogram          // of the completed calls
}

// Country counts the calls with one country.
type Country struct{ Total, Completed int }

// Total is how many of the day's calls have ended.
func (d Day) Total() (n int) {
	for _, ended := range d.Ended {
		n += ended
	}
	return n
}

// Active is how many of the day's calls have not ended.
func (d Day) Active() int { return max(0, d.Started-d.Total()) }
