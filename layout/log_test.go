package layout

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// otherKeys are keys that a line of log must not use, with the key that says the same everywhere.
var otherKeys = map[string]string{
	"err":            "error",
	"cause":          "error",
	"request_id":     "http_request_id or number_request_id",
	"number_request": "number_request_id",
	"number_id":      "phone_number_id",
	"call":           "call_id",
}

// ofOneCall are the functions whose every line of log is about one call.
var ofOneCall = []string{"awaitcall", "dialcall", "finishcall", "preparecall", "summarizecall", "transfercall"}

// logKeys complains about the keys of the lines that a file of the package folder logs.
func logKeys(folder, file string, source any) (complaints []string, err error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, source, 0)
	if err != nil {
		return nil, err
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		line, ok := n.(*ast.CallExpr)
		if !ok || !logs(line) {
			return true
		}
		keys := keysOf(line)
		for _, key := range keys {
			if better, other := otherKeys[key]; other {
				complaints = append(complaints, fmt.Sprintf("%s: the key %s is %s elsewhere", files.Position(line.Pos()), key, better))
			} else if !snakeCase.MatchString(key) {
				complaints = append(complaints, fmt.Sprintf("%s: the key %s is not in snake_case", files.Position(line.Pos()), key))
			}
		}
		if slices.Contains(ofOneCall, folder) && !slices.Contains(keys, "call_id") {
			complaints = append(complaints, fmt.Sprintf("%s: the line does not name its call", files.Position(line.Pos())))
		}
		return true
	})
	return complaints, nil
}

var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// logs reports whether a call logs a line: it is a method of slog.Logger on something named log.
func logs(line *ast.CallExpr) bool {
	method, ok := line.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "DebugContext", "InfoContext", "WarnContext", "ErrorContext", "LogAttrs"}, method.Sel.Name) {
		return false
	}
	switch on := method.X.(type) {
	case *ast.SelectorExpr:
		return strings.EqualFold(on.Sel.Name, "log")
	case *ast.Ident:
		return strings.EqualFold(on.Name, "log")
	}
	return false
}

// keysOf are the keys of a line that are written in it: those of attributes such as slog.String,
// and every second argument behind the message.
func keysOf(line *ast.CallExpr) (keys []string) {
	arguments := line.Args[1:] // behind the message, or behind the context
	name := line.Fun.(*ast.SelectorExpr).Sel.Name
	switch {
	case name == "LogAttrs":
		arguments = line.Args[3:]
	case strings.HasSuffix(name, "Context"):
		arguments = line.Args[2:]
	}
	for i := 0; i < len(arguments); i++ {
		if attribute, ok := arguments[i].(*ast.CallExpr); ok && len(attribute.Args) > 0 {
			keys = append(keys, text(attribute.Args[0]))
			continue
		}
		keys = append(keys, text(arguments[i]))
		i++ // its value
	}
	return slices.DeleteFunc(keys, func(key string) bool { return key == "" })
}

// text is the value of a string literal, or empty.
func text(e ast.Expr) string {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return ""
	}
	value, _ := strconv.Unquote(literal.Value)
	return value
}

func TestLogKeys(t *testing.T) {
	t.Parallel()
	files := 0
	for _, root := range []string{"../shared", "../functions", "../local/gateway", "../local/platform"} {
		err := walk(root, func(path string) error {
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			files++
			complaints, err := logKeys(filepath.Base(filepath.Dir(path)), path, nil)
			for _, c := range complaints {
				t.Error(c)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 100 {
		t.Errorf("only %d files were read", files)
	}
}

func TestLogKeysAreRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ line, want string }{
		{`t.Log.WarnContext(ctx, "dial", "call_id", c.ID, "error", err)`, ""},
		{`t.Log.WarnContext(ctx, "dial", "call_id", c.ID, "err", err)`, "the key err is error elsewhere"},
		{`t.Log.WarnContext(ctx, "dial", "callID", c.ID, "call_id", c.ID)`, "the key callID is not in snake_case"},
		{`t.Log.Error("dial", "error", err)`, "does not name its call"},
		{`e.Log.LogAttrs(ctx, slog.LevelError, "dial", slog.String("call_id", c.ID), slog.Any("cause", err))`, "the key cause is error elsewhere"},
		{`other.Error("dial", "cause", err)`, ""},
	} {
		complaints, err := logKeys("dialcall", "dialcall.go", "package p\nfunc f() { "+tt.line+" }")
		if got := strings.Join(complaints, "\n"); err != nil || tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, %v; want %q", tt.line, got, err, tt.want)
		}
	}
}
