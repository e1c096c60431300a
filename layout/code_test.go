package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// early lists the functions that a package variable may call. Everything else runs in a constructor
// or in main, where it is visible, can fail, and costs only the binaries that need it. At start
// each binary pays for the variables of every package that it links.
var early = map[string]string{
	"errors.New":         "a sentinel error is compared by identity, and costs an allocation",
	"base32.NewEncoding": "an alphabet, a table of 256 bytes",
	"base64.NewEncoding": "an alphabet, a table of 256 bytes",
	"WithPadding":        "of such an encoding",
	"Strict":             "of such an encoding",
	"sync.OnceFunc":      "puts the work off until it is asked for",
	"sync.OnceValue":     "puts the work off until it is asked for",
	"sync.OnceValues":    "puts the work off until it is asked for",
	"big.NewInt":         "a number",
	"new":                "no work",
	"make":               "no work",
	"len":                "a constant",
	"string":             "a conversion",
}

func TestNothingRunsBeforeMain(t *testing.T) {
	t.Parallel()
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files++
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return nil
		}
		for _, problem := range beforeMain(file) {
			t.Errorf("%s: %s", fset.Position(problem.at), problem.what)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Error("no source file was found")
	}
}

type problem struct {
	at   token.Pos
	what string
}

// beforeMain finds what a file would run before main: init functions, and calls in the values of
// package variables, except in function literals.
func beforeMain(file *ast.File) []problem {
	var found []problem
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				found = append(found, problem{d.Pos(), "func init is not used here"})
			}
		case *ast.GenDecl:
			if d.Tok != token.VAR {
				continue
			}
			ast.Inspect(d, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					_, literal := n.(*ast.FuncLit)
					return !literal
				}
				if _, literal := call.Fun.(*ast.FuncLit); literal {
					found = append(found, problem{call.Pos(), "a function runs in a package variable"})
				} else if name := calleeOf(call.Fun); name != "" && early[name] == "" {
					found = append(found, problem{call.Pos(), name + " runs in a package variable"})
				}
				return true
			})
		}
	}
	return found
}

// calleeOf is package.Function, the bare name of a method that is called on a result, or "" for a
// conversion to a type that is written out, such as []byte("x").
func calleeOf(fun ast.Expr) string {
	switch f := fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
		return f.Sel.Name
	case *ast.IndexExpr:
		return calleeOf(f.X)
	case *ast.IndexListExpr:
		return calleeOf(f.X)
	case *ast.ArrayType, *ast.MapType, *ast.FuncType, *ast.InterfaceType, *ast.ParenExpr:
		return ""
	}
	return "a function"
}

// TestBeforeMain proves that the check finds the mistakes that it is for.
func TestBeforeMain(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]int{
		`func init() {}`:                                               1,
		`func (T) init() {}`:                                           0,
		`var x = os.Getenv("A")`:                                       1,
		`var x = errors.New("a")`:                                      0,
		`var x = map[string]int{"a": 1}`:                               0,
		`var x = []T{{f()}}`:                                           1,
		`var x = func() int { return f() }`:                            0,
		`var x = func() int { return 1 }()`:                            1,
		`var x = regexp.MustCompile("a")`:                              1,
		`var x = atomic.Pointer[T]{}`:                                  0,
		`var x = sync.OnceValue(func() T { return f() })`:              0,
		`var x = load[T]()`:                                            1,
		`var x = []byte("a")`:                                          0,
		`var x = base32.NewEncoding("").WithPadding(base32.NoPadding)`: 0,
		`var x, y = 1, time.Now()`:                                     1,
		`func f() { var x = os.Getenv("") }`:                           0,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := beforeMain(file); len(got) != want {
			t.Errorf("%s: got %v, want %d problems", source, got, want)
		}
	}
}
