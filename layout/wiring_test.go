package layout

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// laptopOnly is the field that only the laptop sets: trunks and webhooks may point at the machine
// itself. A main may leave it out.
const laptopOnly = "AllowLoopback"

// TestWiring compares each function's main with its row in functions/all, because the laptop and
// the tests run the row and Lambda runs the main.
func TestWiring(t *testing.T) {
	t.Parallel()
	for _, problem := range wiringProblems(wiringSources(t)) {
		t.Error(problem)
	}
}

// TestWiringIsCompared checks that TestWiring finds the mistakes that it is for, in copies of the
// sources with one change.
func TestWiringIsCompared(t *testing.T) {
	t.Parallel()
	sources := wiringSources(t)
	const places = ", Places: cfg.Places"
	for name, tc := range map[string]struct{ function, old, with, want string }{
		"main forgets":           {"createcall", places, "", "functions/createcall/lambda/main.go leaves out Places, which functions/all fills"},
		"row forgets":            {"all", ", Places: d.DialPlaces", "", "functions/all/all.go leaves out Places of createcall, which functions/createcall/lambda/main.go fills"},
		"main of a task forgets": {"dialcall", "Carriers: &carrier.Checker{Config: cfg.Carrier, Resolver: net.DefaultResolver},", "", "functions/dialcall/lambda/main.go leaves out Carriers, which functions/all fills"},
		"row of a task forgets":  {"all", "Carriers: d.carriers(), Teardown: s, ", "Teardown: s, ", "functions/all/all.go leaves out Carriers of dialcall"},
		"a variable forgets":     {"hangupcall", "Rooms: lk, Now: time.Now}", "Rooms: lk}", "functions/hangupcall/lambda/main.go leaves out Teardown.Now, which functions/all fills"},
		"a helper forgets":       {"all", "Numbers: d.DB, LiveKit: d.LiveKit, Now: d.Now}", "Numbers: d.DB, LiveKit: d.LiveKit}", "functions/all/all.go leaves out Configurer.Now of releasenumber"},
		"another type":           {"queuedeliveries", "queuedeliveries.Task{", "queuedeliveries.Endpoint{", "functions/queuedeliveries/lambda/main.go makes a queuedeliveries.Endpoint, functions/all a queuedeliveries.Task"},
		"no type":                {"getcall", "getcall.Endpoint{", "getcall.Other{", "functions/getcall/lambda/main.go makes no getcall.Endpoint and no getcall.Task"},
		"another's type":         {"all", "&getcall.Endpoint{", "&getcallstats.Endpoint{", "functions/all/all.go has another function's type in the row of getcall"},
		"no row":                 {"all", `"getcall":             &getcall.Endpoint{Calls: d.DB, Now: d.Now},`, "", "functions/all/all.go has no row for getcall"},
		"no main":                {"all", `"getcall":             &`, `"nothing": &nothing.Endpoint{}, "getcall": &`, "functions/nothing/lambda/main.go is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := maps.Clone(sources)
			if !strings.Contains(changed[tc.function], tc.old) {
				t.Fatalf("%q is not in the source", tc.old)
			}
			changed[tc.function] = strings.Replace(changed[tc.function], tc.old, tc.with, 1)
			if problems := strings.Join(wiringProblems(changed), "\n"); !strings.Contains(problems, tc.want) {
				t.Errorf("problems %q, want one with %q", problems, tc.want)
			}
		})
	}
}

// wiringSources reads the main of each function by the name of its folder, and functions/all/all.go
// as all.
func wiringSources(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../functions/*/lambda/main.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d mains: %v", len(paths), err)
	}
	sources := map[string]string{}
	for _, path := range append(paths, "../functions/all/all.go") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(filepath.ToSlash(path), "../functions/"), "/")
		sources[name] = string(text)
	}
	return sources
}

// wiring is how a function is built: the type of its package, and the fields that are filled. A
// field of a field has the name Teardown.Calls.
type wiring struct {
	typeName string
	fields   []string
}

// wiringProblems compares the sources that wiringSources returns.
func wiringProblems(sources map[string]string) (problems []string) {
	table, err := parser.ParseFile(token.NewFileSet(), "all.go", sources["all"], parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}
	}
	rows := rowsOf(table)
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if _, has := rows[name]; !has && name != "all" {
			problems = append(problems, "functions/all/all.go has no row for "+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		path := "functions/" + name + "/lambda/main.go"
		text, has := sources[name]
		if !has {
			problems = append(problems, path+" is not there, and functions/all has the row "+name)
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		main, row := mainOf(file, name), rows[name]
		switch {
		case row.typeName == "":
			problems = append(problems, "functions/all/all.go has another function's type in the row of "+name)
		case main.typeName == "":
			problems = append(problems, fmt.Sprintf("%s makes no %s.Endpoint and no %[2]s.Task", path, name))
		case main.typeName != row.typeName:
			problems = append(problems, fmt.Sprintf("%s makes a %s.%s, functions/all a %[2]s.%[4]s", path, name, main.typeName, row.typeName))
		}
		for _, field := range leftOut(main.fields, row.fields) {
			if field[strings.LastIndex(field, ".")+1:] != laptopOnly {
				problems = append(problems, fmt.Sprintf("%s leaves out %s, which functions/all fills", path, field))
			}
		}
		for _, field := range leftOut(row.fields, main.fields) {
			problems = append(problems, fmt.Sprintf("functions/all/all.go leaves out %s of %s, which %s fills", field, name, path))
		}
	}
	return problems
}

// leftOut returns the fields of want that are not in got. It compares the fields of a field only if
// both sides list some of them: one side may get the whole value ready-made.
func leftOut(got, want []string) (missing []string) {
	for _, field := range want {
		parent := field[:strings.LastIndex(field, ".")+1]
		listed := parent == "" || slices.ContainsFunc(got, func(f string) bool { return strings.HasPrefix(f, parent) })
		if listed && !slices.Contains(got, field) {
			missing = append(missing, field)
		}
	}
	return missing
}

// scope resolves names inside one function: its local variables, and methods without parameters
// that return one value.
type scope struct {
	locals  map[string]ast.Expr
	methods map[string]*ast.FuncDecl
}

// scopeOf collects the local variables of a function, except those that one call with several
// results defines.
func scopeOf(f *ast.FuncDecl, methods map[string]*ast.FuncDecl) scope {
	s := scope{map[string]ast.Expr{}, methods}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && a.Tok == token.DEFINE && len(a.Lhs) == len(a.Rhs) {
			for i, name := range a.Lhs {
				s.locals[name.(*ast.Ident).Name] = a.Rhs[i]
			}
		}
		return true
	})
	return s
}

// literal follows pointers, parentheses, local variables and methods to a composite literal. It
// returns nil if the expression leads to none.
func (s scope) literal(e ast.Expr) (*ast.CompositeLit, scope) {
	switch e := e.(type) {
	case *ast.CompositeLit:
		return e, s
	case *ast.UnaryExpr:
		return s.literal(e.X)
	case *ast.ParenExpr:
		return s.literal(e.X)
	case *ast.Ident:
		next := maps.Clone(s.locals) // without the name, because log := log defines it by itself
		delete(next, e.Name)
		return scope{next, s.methods}.literal(s.locals[e.Name])
	case *ast.CallExpr:
		called, _ := e.Fun.(*ast.SelectorExpr)
		if called == nil || s.methods[called.Sel.Name] == nil || len(e.Args) > 0 {
			return nil, s
		}
		method := s.methods[called.Sel.Name]
		last, _ := method.Body.List[len(method.Body.List)-1].(*ast.ReturnStmt)
		if last == nil || len(last.Results) != 1 {
			return nil, s
		}
		return scopeOf(method, s.methods).literal(last.Results[0])
	}
	return nil, s
}

// fields returns the fields that a literal fills, and those of the literals in its fields.
func (s scope) fields(lit *ast.CompositeLit) (names []string) {
	for _, element := range lit.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		key, ok := pair.Key.(*ast.Ident)
		if !ok {
			continue
		}
		names = append(names, key.Name)
		if inner, at := s.literal(pair.Value); inner != nil {
			for _, name := range at.fields(inner) {
				names = append(names, key.Name+"."+name)
			}
		}
	}
	return names
}

// wiringOf describes a literal, if it is of the Endpoint or the Task of a function's package.
func (s scope) wiringOf(lit *ast.CompositeLit, function string) wiring {
	typ, _ := lit.Type.(*ast.SelectorExpr)
	if typ == nil || typ.Sel.Name != "Endpoint" && typ.Sel.Name != "Task" {
		return wiring{}
	}
	if of, _ := typ.X.(*ast.Ident); of == nil || of.Name != function {
		return wiring{}
	}
	return wiring{typ.Sel.Name, s.fields(lit)}
}

// functionsIn returns the functions of a file, and apart from them its methods.
func functionsIn(file *ast.File) (functions, methods map[string]*ast.FuncDecl) {
	functions, methods = map[string]*ast.FuncDecl{}, map[string]*ast.FuncDecl{}
	for _, d := range file.Decls {
		switch f, ok := d.(*ast.FuncDecl); {
		case ok && f.Recv == nil:
			functions[f.Name.Name] = f
		case ok:
			methods[f.Name.Name] = f
		}
	}
	return functions, methods
}

// mainOf returns how the main of a function builds it.
func mainOf(file *ast.File, function string) (found wiring) {
	functions, methods := functionsIn(file)
	if functions["main"] == nil {
		return wiring{}
	}
	s := scopeOf(functions["main"], methods)
	ast.Inspect(functions["main"], func(n ast.Node) bool {
		if lit, ok := n.(*ast.CompositeLit); ok && found.typeName == "" {
			found = s.wiringOf(lit, function)
		}
		return true
	})
	return found
}

// rowsOf returns how the rows of functions/all build their functions, by name. A row of a task ends
// in .Run.
func rowsOf(table *ast.File) map[string]wiring {
	rows := map[string]wiring{}
	functions, methods := functionsIn(table)
	for _, f := range functions {
		s := scopeOf(f, methods)
		ast.Inspect(f, func(n ast.Node) bool {
			pair, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			key, ok := pair.Key.(*ast.BasicLit)
			if !ok {
				return true
			}
			name, err := strconv.Unquote(key.Value)
			if err != nil {
				return true
			}
			value := pair.Value
			if run, ok := value.(*ast.SelectorExpr); ok {
				value = run.X
			}
			rows[name] = wiring{}
			if lit, at := s.literal(value); lit != nil {
				rows[name] = at.wiringOf(lit, name)
			}
			return false
		})
	}
	return rows
}
