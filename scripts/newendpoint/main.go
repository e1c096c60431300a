// Command newendpoint writes what a new endpoint of the API consists of: the function with its test
// and its main, its rows in functions/all, its resource in template.yaml and its sample event. Run
// it in the repository with `make new`.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

func main() {
	name := flag.String("fn", "", "the function's name, such as listnotes")
	route := flag.String("route", "", "method and path, such as 'GET /outbound-calls/{call_id}/notes'")
	flag.Parse()
	files, err := create(".", *name, *route)
	if err != nil {
		fmt.Fprintln(os.Stderr, "make new:", err)
		os.Exit(1)
	}
	for _, file := range files {
		fmt.Println("wrote", file)
	}
	fmt.Printf("Next: write functions/%s, then make generate, then make verify.\n", *name)
}

// create writes an endpoint into the repository at root and returns the paths of the files. If it
// fails, it leaves the repository as it was.
func create(root, name, route string) (paths []string, err error) {
	repo := repository{root}
	e, err := parse(name, route)
	if err != nil {
		return nil, err
	}
	if err := repo.lacks(e); err != nil {
		return nil, err
	}
	files, err := repo.files(e)
	if err != nil {
		return nil, err
	}
	for path := range files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths, repo.write(files)
}

// write writes all files or, if one cannot be written, none.
func (r repository) write(files map[string][]byte) (err error) {
	var undo []func() error
	defer func() {
		for i := len(undo) - 1; err != nil && i >= 0; i-- {
			if failed := undo[i](); failed != nil {
				err = fmt.Errorf("%w; and undoing it: %w", err, failed)
				return
			}
		}
	}()
	for path, content := range files {
		path = filepath.Join(r.root, path)
		for _, dir := range missing(filepath.Dir(path)) {
			undo = append(undo, func() error { return removed(dir) })
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
		}
		before, err := os.ReadFile(path)
		switch {
		case err == nil:
			undo = append(undo, func() error { return os.WriteFile(path, before, 0o644) })
		case os.IsNotExist(err):
			undo = append(undo, func() error { return removed(path) })
		default:
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// missing returns the folders on the way to dir that are not there, the outermost first.
func missing(dir string) (dirs []string) {
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			slices.Reverse(dirs)
			return dirs
		}
		dirs = append(dirs, dir)
	}
}

// removed removes a file or a folder that may not be there.
func removed(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
