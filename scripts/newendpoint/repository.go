package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"text/template"
)

//go:embed *.tmpl
var templates embed.FS

// repository is the folder with go.mod.
type repository struct{ root string }

func (r repository) read(path string) (string, error) {
	text, err := os.ReadFile(filepath.Join(r.root, path))
	return string(text), err
}

var deployedRoute = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`Method: ([A-Z]+), Path: "([^"]+)"`) })

// lacks returns an error if the function or the route exists.
func (r repository) lacks(e endpoint) error {
	for _, path := range []string{"functions/" + e.Name, "events/" + e.Name + ".json", "shared/" + e.Name} {
		if _, err := os.Stat(filepath.Join(r.root, path)); err == nil {
			return fmt.Errorf("FN=%s is taken: %s exists", e.Name, path)
		}
	}
	text, err := r.read("template.yaml")
	if err != nil {
		return err
	}
	if strings.Contains(strings.ToLower(text), "\n  "+e.Name+"function:") {
		return fmt.Errorf("FN=%s is taken: template.yaml has the function", e.Name)
	}
	for _, m := range deployedRoute().FindAllStringSubmatch(text, -1) {
		if m[1] == e.Method && parameter().ReplaceAllString(m[2], "{}") == parameter().ReplaceAllString(e.Path, "{}") {
			return fmt.Errorf("ROUTE='%s %s' is taken: template.yaml has %s %s", e.Method, e.Path, m[1], m[2])
		}
	}
	return nil
}

// files returns the content of every file of the endpoint, new or changed, by its path.
func (r repository) files(e endpoint) (map[string][]byte, error) {
	files := map[string][]byte{}
	for path, name := range map[string]string{
		"functions/" + e.Name + "/" + e.Name + ".go":      "endpoint.go.tmpl",
		"functions/" + e.Name + "/" + e.Name + "_test.go": "test.go.tmpl",
		"functions/" + e.Name + "/lambda/main.go":         "main.go.tmpl",
		"events/" + e.Name + ".json":                      "event.json.tmpl",
	} {
		text, err := e.render(name)
		if err != nil {
			return nil, err
		}
		files[path] = []byte(text)
	}
	resource, err := e.render("resource.yaml.tmpl")
	if err != nil {
		return nil, err
	}
	prepare, field := "nil", ""
	if e.Owner != nil {
		prepare, field = e.Owner.Prepare, e.Owner.Field+": d.DB"
	}
	for path, change := range map[string]func(string) (string, error){
		"template.yaml": func(text string) (string, error) { return placed(text, e.Path, resource) },
		"functions/all/all.go": func(text string) (string, error) {
			return sorted(text, e.Name, row{`(?m)^\t"github.com/krosai/telephony/functions/(\w+)"\n`, fmt.Sprintf("\t\"github.com/krosai/telephony/functions/%s\"\n", e.Name)},
				row{`(?m)^\t\t"(\w+)": +&\w+\.Endpoint\{.*\n`, fmt.Sprintf("\t\t%q: &%s.Endpoint{%s},\n", e.Name, e.Name, field)})
		},
		"functions/all/events_test.go": func(text string) (string, error) {
			return sorted(text, e.Name, row{`(?m)^\t"(\w+)": +(?:nil|\(\*stage\)\.|func\(s \*stage\)).*\n`, fmt.Sprintf("\t%q: %s,\n", e.Name, prepare)})
		},
		"functions/all/matrix_test.go": func(text string) (string, error) {
			return sorted(text, "~", row{`(?m)^\t"([A-Z]+ /[^"]*)": +\{.*\n`, fmt.Sprintf("\t%q: {},\n", e.Method+" "+e.Path)})
		},
	} {
		text, err := r.read(path)
		if err != nil {
			return nil, err
		}
		if text, err = change(text); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		files[path] = []byte(text)
	}
	return files, nil
}

// render executes a template. Go source comes formatted.
func (e endpoint) render(name string) (string, error) {
	parsed, err := template.ParseFS(templates, name)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, e); err != nil {
		return "", err
	}
	if !strings.HasSuffix(name, ".go.tmpl") {
		return out.String(), nil
	}
	source, err := format.Source(out.Bytes())
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return string(source), nil
}

// row is a line to add beside the lines that a pattern matches. The pattern's group is their key.
type row struct{ pattern, line string }

// sorted adds each row before the first of its lines with a later key, or after the last of them,
// and formats the source.
func sorted(text, key string, rows ...row) (string, error) {
	for _, r := range rows {
		found := regexp.MustCompile(r.pattern).FindAllStringSubmatchIndex(text, -1)
		if len(found) == 0 {
			return "", errors.New("no line is like " + strings.TrimSpace(r.line))
		}
		at := found[len(found)-1][1]
		for i := len(found) - 1; i >= 0 && text[found[i][2]:found[i][3]] > key; i-- {
			at = found[i][0]
		}
		text = text[:at] + r.line + text[at:]
	}
	source, err := format.Source([]byte(text))
	return string(source), err
}

// placed adds a resource behind the last function whose path shares most segments with path.
func placed(text, path, resource string) (string, error) {
	best, end := 0, -1
	for _, m := range deployedRoute().FindAllStringSubmatchIndex(text, -1) {
		if n := shared(text[m[4]:m[5]], path); n >= best {
			best, end = n, m[1]
		}
	}
	blank := strings.Index(text[max(end, 0):], "\n\n")
	if end < 0 || blank < 0 {
		return "", errors.New("it has no function with a route")
	}
	at := end + blank + 1
	return text[:at] + "\n" + resource + text[at:], nil
}

// shared counts the segments that two paths have in common from their beginning.
func shared(a, b string) (n int) {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	for n < len(as) && n < len(bs) && as[n] == bs[n] {
		n++
	}
	return n
}
