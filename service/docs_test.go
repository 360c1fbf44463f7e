package service_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// page reads a page of the documentation.
func page(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// rows are the rows of a page's tables whose first cell matches, in the page's order.
func rows(markdown, first string) []string {
	return regexp.MustCompile("(?m)^\\| "+first+" \\|.*\\|$").FindAllString(markdown, -1)
}

// TestMetricsAreDocumented compares the table of the operator's page with what the metrics say of themselves.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	all := newWorld(t, nil).Metrics()
	var want []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if strings.HasPrefix(name, "daybook_") {
			want = append(want, fmt.Sprintf("| `%s` | %s | %s |", name, strings.Join(all[name].Labels, ", "), all[name].Help))
		}
	}
	if len(want) == 0 {
		t.Fatal("there are no metrics")
	}
	if diff := cmp.Diff(want, rows(page(t, "OPERATIONS.md"), "`daybook_[a-z_]+`")); diff != "" {
		t.Errorf("rows of docs/OPERATIONS.md (-as they are to be +as they are):\n%s\nAll as they are to be:\n%s", diff, strings.Join(want, "\n"))
	}
}

// TestAlertsAreDocumented compares the table of the operator's page with the rules.
func TestAlertsAreDocumented(t *testing.T) {
	t.Parallel()
	var want []string
	for _, r := range alertRules(t) {
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", r.Alert, r.Labels["severity"], r.Annotations["summary"]))
	}
	if diff := cmp.Diff(want, rows(page(t, "OPERATIONS.md"), "`Daybook[A-Za-z]+`")); diff != "" {
		t.Errorf("rows of docs/OPERATIONS.md (-as they are to be +as they are):\n%s\nAll as they are to be:\n%s", diff, strings.Join(want, "\n"))
	}
}

// problemCodes are the codes that the package gives to problems: those written in a call of problem, or given to a variable that is handed to it.
func problemCodes(t *testing.T) map[string]bool {
	t.Helper()
	codes := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if f, ok := n.(*ast.FuncDecl); ok && f.Body != nil {
				codesOf(f, codes)
			}
			return true
		})
	}
	return codes
}

func codesOf(f *ast.FuncDecl, codes map[string]bool) {
	variables := map[string]bool{}
	literal := func(e ast.Expr) {
		if l, ok := e.(*ast.BasicLit); ok {
			if text, err := strconv.Unquote(l.Value); err == nil {
				codes[text] = true
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if s, ok := call.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "problem" {
			literal(call.Args[1])
			if v, ok := call.Args[1].(*ast.Ident); ok {
				variables[v.Name] = true
			}
		}
		return true
	})
	ast.Inspect(f, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if ok && len(a.Lhs) == 1 && len(a.Rhs) == 1 {
			if v, ok := a.Lhs[0].(*ast.Ident); ok && variables[v.Name] {
				literal(a.Rhs[0])
			}
		}
		return true
	})
}

// TestProblemsAreDocumented compares the table of the operator's page with the codes of the status.
func TestProblemsAreDocumented(t *testing.T) {
	t.Parallel()
	codes := problemCodes(t)
	for _, code := range []string{"sealing-fails", "sealing-held", "trail-off"} { // it finds them, written either way
		if !codes[code] {
			t.Errorf("%s is not found", code)
		}
	}
	documented := map[string]bool{}
	for _, row := range rows(page(t, "OPERATIONS.md"), "`[a-z]+(-[a-z]+)*`") {
		cells := strings.Split(row, "|")
		if level := strings.TrimSpace(cells[2]); strings.HasPrefix(level, "alert") || strings.HasPrefix(level, "warning") {
			documented[strings.Trim(cells[1], " `")] = true
		}
	}
	if diff := cmp.Diff(codes, documented); diff != "" {
		t.Errorf("codes (-of the status +documented):\n%s", diff)
	}
}

// TestIntakeCodesAreDocumented compares the table of the senders' page with what the receiver says that it answers.
func TestIntakeCodesAreDocumented(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "batch", "intake", "receiver", "doc.go"))
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, m := range regexp.MustCompile(`(?m)^//\t(\d{3})  `).FindAllStringSubmatch(string(data), -1) {
		want = append(want, m[1])
	}
	for _, row := range rows(page(t, "INTAKE.md"), `\d{3}`) {
		got = append(got, row[2:5])
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) < 10 {
		t.Errorf("codes (-of the receiver +documented):\n%s", diff)
	}
}

// TestLinksOfPages follows the links between pages, to headings too.
func TestLinksOfPages(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"OPERATIONS.md", "INTAKE.md", "THREATS.md", "design.md", "../README.md"} {
		for _, m := range regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`).FindAllStringSubmatch(page(t, name), -1) {
			to, heading := m[1], strings.TrimPrefix(m[2], "#")
			if to == "" {
				to = filepath.Base(name)
			}
			data, err := os.ReadFile(filepath.Join("..", "docs", filepath.Dir(name), to))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if heading != "" && !slices.Contains(headings(string(data)), heading) {
				t.Errorf("%s: %s has no heading #%s", name, to, heading)
			}
		}
	}
}

// headings are what a page's headings are linked by.
func headings(markdown string) (list []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(markdown, -1) {
		text := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		list = append(list, strings.ReplaceAll(text, " ", "-"))
	}
	return list
}
