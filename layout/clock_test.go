package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// enough is how long a test must wait at least for something that must come. It is longer than any
// busy machine takes.
const enough = 30 * time.Second

// TestNoTestFailsByTheClock: a busy machine is late, so no test may fail because something took
// long. A test controls the time only under synctest.
func TestNoTestFailsByTheClock(t *testing.T) {
	t.Parallel()
	files := 0
	for folder, names := range testFiles(t) {
		fset, bubbles := token.NewFileSet(), map[string]bool{}
		var parsed []*ast.File
		for _, name := range names {
			file, err := parser.ParseFile(fset, filepath.Join(folder, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, file)
			addBubbles(bubbles, file)
		}
		for _, file := range parsed {
			files++
			for _, problem := range byTheClock(file, bubbles) {
				t.Errorf("%s: %s", fset.Position(problem.at), problem.what)
			}
		}
	}
	if files == 0 {
		t.Error("no test was found")
	}
}

// testFiles are the names of all test files by their folder.
func testFiles(t *testing.T) map[string][]string {
	t.Helper()
	names := map[string][]string{}
	err := walk("..", func(path string) error {
		if strings.HasSuffix(path, "_test.go") {
			names[filepath.Dir(path)] = append(names[filepath.Dir(path)], filepath.Base(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// addBubbles adds the functions of a file that run their arguments under synctest.
func addBubbles(names map[string]bool, file *ast.File) {
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && strings.Contains(callsOf(f), " synctest.Test ") {
			names[f.Name.Name] = true
		}
	}
}

// callsOf are the names of the functions that a node calls, with spaces around them.
func callsOf(n ast.Node) string {
	names := " "
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			names += calleeOf(call.Fun) + " "
		}
		return true
	})
	return names
}

// byTheClock finds the places where a test fails because something took longer than it should, or
// did not come within too short a time.
func byTheClock(file *ast.File, bubbles map[string]bool) (found []problem) {
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		measured := map[string]bool{} // variables that hold how long something took
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if name := calleeOf(n.Fun); name == "synctest.Test" || bubbles[name] && !strings.HasPrefix(name, "Test") {
					return false
				}
				if name := calleeOf(n.Fun); strings.HasSuffix(name, "Deadline") && soon(n.Args...) {
					found = append(found, problem{n.Pos(), "the deadline is below 30 s"})
				}
			case *ast.AssignStmt:
				addMeasured(measured, n)
			case *ast.IfStmt:
				if a, ok := n.Init.(*ast.AssignStmt); ok {
					addMeasured(measured, a)
				}
				if fails(n.Body) && above(n.Cond, measured) {
					found = append(found, problem{n.Pos(), "the test fails because something took long"})
				}
			case *ast.ForStmt:
				if a, ok := n.Init.(*ast.AssignStmt); ok && soon(a.Rhs...) || tooShort(n.Cond) {
					found = append(found, problem{n.Pos(), "the test waits less than 30 s"})
				}
			case *ast.CommClause:
				if e, ok := n.Comm.(*ast.ExprStmt); ok && fails(&ast.BlockStmt{List: n.Body}) && soon(e.X) {
					found = append(found, problem{n.Pos(), "the test waits less than 30 s"})
				}
			}
			return true
		})
	}
	return found
}

// addMeasured adds the variable of an assignment if its value is how long something took.
func addMeasured(names map[string]bool, a *ast.AssignStmt) {
	if v, ok := a.Lhs[0].(*ast.Ident); ok && len(a.Lhs) == 1 && isSince(a.Rhs[0]) {
		names[v.Name] = true
	}
}

// isSince reports whether an expression is how long something took, perhaps rounded or reduced.
func isSince(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CallExpr:
		method, ok := e.Fun.(*ast.SelectorExpr)
		return calleeOf(e.Fun) == "time.Since" || ok && isSince(method.X)
	case *ast.BinaryExpr:
		return isSince(e.X) && e.Op == token.SUB
	}
	return false
}

// fails reports whether a block makes a test fail.
func fails(block *ast.BlockStmt) bool {
	for _, name := range []string{"Error", "Errorf", "Fatal", "Fatalf"} {
		if strings.Contains(callsOf(block), "."+name+" ") {
			return true
		}
	}
	return false
}

// above reports whether a condition compares a measured time with an upper bound, or with an
// exact time.
func above(cond ast.Expr, measured map[string]bool) (found bool) {
	took := func(e ast.Expr) bool {
		v, ok := e.(*ast.Ident)
		return ok && measured[v.Name] || isSince(e)
	}
	ast.Inspect(cond, func(n ast.Node) bool {
		if c, ok := n.(*ast.BinaryExpr); ok {
			switch c.Op {
			case token.GTR, token.GEQ:
				found = found || took(c.X)
			case token.LSS, token.LEQ:
				found = found || took(c.Y)
			case token.NEQ:
				found = found || took(c.X) || took(c.Y)
			}
		}
		return true
	})
	return found
}

// tooShort reports whether a loop gives up after less than enough has passed.
func tooShort(cond ast.Expr) (found bool) {
	if cond == nil {
		return false
	}
	ast.Inspect(cond, func(n ast.Node) bool {
		if c, ok := n.(*ast.BinaryExpr); ok && c.Op == token.LSS && strings.Contains(callsOf(c.X), " time.Since ") {
			d, known := durationOf(c.Y)
			found = found || known && d < enough
		}
		return true
	})
	return found
}

// soon reports whether an expression is a moment, or a timer's channel, less than enough from now.
func soon(list ...ast.Expr) (found bool) {
	for _, e := range list {
		ast.Inspect(e, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			add, _ := call.Fun.(*ast.SelectorExpr)
			if calleeOf(call.Fun) == "time.After" || add != nil && add.Sel.Name == "Add" && callsOf(add.X) == " time.Now " {
				d, known := durationOf(call.Args[0])
				found = found || known && d < enough
			}
			return true
		})
	}
	return found
}

// durationOf is a duration that is written as time.Minute or 5 * time.Second.
func durationOf(e ast.Expr) (d time.Duration, known bool) {
	units := map[string]time.Duration{"Nanosecond": 1, "Microsecond": time.Microsecond, "Millisecond": time.Millisecond,
		"Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return units[e.Sel.Name], units[e.Sel.Name] > 0
	case *ast.BinaryExpr:
		n, ok := e.X.(*ast.BasicLit)
		d, known := durationOf(e.Y)
		if !ok || !known || e.Op != token.MUL {
			return 0, false
		}
		times, err := strconv.Atoi(n.Value)
		return time.Duration(times) * d, err == nil
	}
	return 0, false
}

// TestByTheClock proves that the check finds the mistakes that it is for.
func TestByTheClock(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{
		`if took := time.Since(start); took > time.Second { t.Errorf("took %s", took) }`:                              1,
		`if took := time.Since(start); took < 29*time.Second || took > 33*time.Second { t.Error(took) }`:              1,
		`if took := time.Since(start); took < 30*time.Second { t.Error(took) }`:                                       0,
		`if err != nil || time.Since(start) > 2*time.Second { t.Fatal(err) }`:                                         1,
		`if f.Init > time.Since(start) { t.Error(f.Init) }`:                                                           0,
		`if time.Since(start) > time.Minute { return }`:                                                               0,
		`took := time.Since(start); if took != 0 { t.Error(took) }`:                                                   1,
		`synctest.Test(t, func(t *testing.T) { if took := time.Since(start); took > time.Second { t.Error(took) } })`: 0,
		`bubble(func() { if took := time.Since(start); took > time.Second { t.Error(took) } })`:                       0,
		`other(func() { if took := time.Since(start); took > time.Second { t.Error(took) } })`:                        1,
		`for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) { }`:                         1,
		`for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) { }`:                             0,
		`for time.Since(start) < 10*time.Second { }`:                                                                  1,
		`select { case <-done:; case <-time.After(5 * time.Second): t.Fatal("not done") }`:                            1,
		`select { case <-done:; case <-time.After(time.Minute): t.Fatal("not done") }`:                                0,
		`select { case <-done: t.Error("done"); case <-time.After(time.Second): }`:                                    0,
		`conn.SetReadDeadline(time.Now().Add(5 * time.Second))`:                                                       1,
		`conn.SetReadDeadline(time.Now().Add(time.Minute))`:                                                           0,
	} {
		source := "package x\nfunc bubble(f func()) { synctest.Test(t, f) }\nfunc TestX(t *testing.T) { " + body + " }"
		file, err := parser.ParseFile(token.NewFileSet(), "x_test.go", source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		bubbles := map[string]bool{}
		addBubbles(bubbles, file)
		if got := byTheClock(file, bubbles); len(got) != want {
			t.Errorf("%s: got %v, want %d problems", body, got, want)
		}
	}
}
