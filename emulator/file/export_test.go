package file

// Waiting is how many writes wait for the one that goes on.
func Waiting(f *File) int {
	f.queue.Lock()
	defer f.queue.Unlock()
	return len(f.waiting)
}
