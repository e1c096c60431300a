package layout

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// width is how many columns a comment may have. A tab counts as four.
const width = 100

// twice matches constructions that a reader has to read twice. A sentence begins with its subject
// and names it: "the sweep", not "who" and not "what".
var twice = regexp.MustCompile(`(^|[.:?!] )(What|Who|Whoever|Whatever|Of) [a-z]|\bwhich who\b|\bbelongs into\b| is none\b`)

// TestComments checks that comments can be read once and fit their columns.
func TestComments(t *testing.T) {
	t.Parallel()
	files := 0
	err := walk("..", func(path string) error {
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		files++
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, problem := range commentsOf(path, source) {
			t.Error(problem)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("%d files: %v", files, err)
	}
}

// TestCommentsAreRefused checks that old comments of this repository are refused.
func TestCommentsAreRefused(t *testing.T) {
	t.Parallel()
	for comment, refused := range map[string]bool{
		"// Whoever died in between is made up for by the next.":                         true,
		"// answeredAt is set later. Of a call that nobody saw ringing\n// it says less": true,
		"// A hang-up belongs into a transaction.":                                       true,
		"// settle deletes the room, which who ends the call does at once.":              true,
		"// parse returns the key, nil if there is none.":                                true,
		"// " + strings.Repeat("word ", 20):                                              true,
		"// Of shows the policy.":                                                        false,
		"// See https://docs.aws.amazon.com/" + strings.Repeat("x", 80):                  false,
		"// next is the time of the next attempt.":                                       false,
	} {
		source := "package p\n\n" + comment + "\nfunc Of() {}\n"
		if got := commentsOf("p.go", []byte(source)); (len(got) > 0) != refused {
			t.Errorf("%q: %v", comment, got)
		}
	}
}

// commentsOf returns what is wrong with the comments of a file.
func commentsOf(path string, source []byte) (problems []string) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}
	}
	named := map[*ast.CommentGroup]string{} // the doc comments of functions, by their names
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Doc != nil {
			named[f.Doc] = f.Name.Name
		}
	}
	lines := strings.Split(string(source), "\n")
	for _, group := range file.Comments {
		text := strings.Join(strings.Fields(group.Text()), " ")
		if name := named[group]; name != "" {
			text = strings.TrimPrefix(text, name+" ") // a function may be named Of
		}
		if found := twice.FindString(text); found != "" {
			problems = append(problems, fmt.Sprintf("%s: a comment must be read twice: %q", fset.Position(group.Pos()), found))
		}
		for _, c := range group.List {
			at := fset.Position(c.Pos())
			line := strings.ReplaceAll(lines[at.Line-1], "\t", "    ")
			whole := strings.HasPrefix(strings.TrimSpace(line), "//")
			if whole && len([]rune(line)) > width && !strings.Contains(line, "://") {
				problems = append(problems, fmt.Sprintf("%s: the comment is wider than %d columns", at, width))
			}
		}
	}
	return problems
}

// walk calls see with the path of each file below a folder, except generated and installed ones.
func walk(root string, see func(path string) error) error {
	return filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.IsDir():
			return see(path)
		case path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules"):
			return filepath.SkipDir
		}
		return nil
	})
}
