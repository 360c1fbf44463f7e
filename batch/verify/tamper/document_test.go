package tamper_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/verify"
)

var update = flag.Bool("update", false, "rewrite docs/TAMPER.md")

func TestDocument(t *testing.T) {
	path := filepath.Join("..", "..", "..", "docs", "TAMPER.md")
	if *update {
		if err := os.WriteFile(path, []byte(document()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), document()); diff != "" {
		t.Errorf("docs/TAMPER.md is not what the suite says; run this test with -update (-file +suite):\n%s", diff)
	}
}

// TestSuite makes sure that the suite is whole: every number is there once, every case is seen in some way, and every code is one of the verifier's.
func TestSuite(t *testing.T) {
	known := map[string]verify.Status{}
	for _, c := range verify.Codes() {
		known[c.Name] = c.Status
	}
	numbers := map[int]bool{}
	for _, g := range suite() {
		for _, c := range g.cases {
			if c.number > 0 && numbers[c.number] {
				t.Errorf("case %d is there twice", c.number)
			}
			numbers[c.number] = true
			if !slices.ContainsFunc(c.variants, func(v variant) bool { return v.exit != 0 || v.unseen == "" && len(v.notes) > 0 }) {
				t.Errorf("case %d %s: nothing finds it", c.number, c.title)
			}
			for _, v := range c.variants {
				checkVariant(t, known, c, v)
			}
		}
	}
	for n := 1; n <= 45; n++ {
		if _, left := leftOut[n]; numbers[n] == left {
			t.Errorf("case %d: in the suite %v, left out %v", n, numbers[n], left)
		}
	}
}

func checkVariant(t *testing.T, known map[string]verify.Status, c testCase, v variant) {
	t.Helper()
	exits := map[int]bool{}
	for _, code := range v.says {
		exit, counts := map[verify.Status]int{verify.Altered: 1, verify.Unreadable: 3, verify.Incomplete: 2}[known[code]]
		if !counts {
			t.Errorf("case %d: %s is of status %q", c.number, code, known[code])
		}
		exits[exit] = true
	}
	want := 0
	for _, exit := range []int{2, 3, 1} { // from the best to the worst
		if exits[exit] {
			want = exit
		}
	}
	if want != v.exit {
		t.Errorf("case %d, %s: exit code %d, but its codes give %d", c.number, v.does, v.exit, want)
	}
	for _, code := range v.notes {
		if s := known[code]; s != verify.Note && s != verify.Absent {
			t.Errorf("case %d: %s is of status %q", c.number, code, s)
		}
	}
	if !strings.HasSuffix(v.does, ".") || strings.Contains(v.does, "|") {
		t.Errorf("case %d: %q is not a sentence for a table", c.number, v.does)
	}
}

// leftOut are the cases that have no test, and why.
var leftOut = map[int]string{
	38: "A review's signature moved to another period: reviews are leaves of the log whose type exists and is checked (`leaf-reference`), but nothing writes them yet.",
	45: "A micro-checkpoint that is no prefix of the sealed day: Daybook makes no checkpoints within a day. What an exporter's host changes before an event is sealed cannot be seen.",
}

// flags are how the command spells what an auditor has.
var flags = map[string]string{
	"deep": "--deep", "partial": "--partial", "key": "--key", "policy": "--policy", "checkpoint": "--checkpoint", "tsa-ca": "--tsa-ca",
}

func document() string {
	var b strings.Builder
	b.WriteString(`# What ` + "`daybook verify`" + ` says when a store was tampered with

Made from the suite in ` + "`batch/verify/tamper`" + `; do not edit. Each row is a test: it damages a copy of a good store (two trails of ten days, one of them
empty, one with an addendum; two classes; files in parts; a key that was rotated; checkpoints that a witness cosigned and a time-stamping authority stamped), runs the
verifier, and fails unless the verifier says exactly these codes and ends with this exit code. [FINDINGS.md](FINDINGS.md) says what each code means and what to do.

How to read it:

- **Signed with the right keys** means that the forger has stolen the signing keys and made everything above his change agree with it: the manifest, the chain, the
  notes, the log and its checkpoints; what witnesses and authorities had said of the true log he has removed. Whatever still finds him rests on something that he can't make.
- **Needs** is what must be given to the verifier for it to see this. Without anything it checks the store against itself.
- **Not seen** is said where the store alone cannot tell. The test then makes sure that the report does not claim more than is so: it calls the head of the log
  unanchored, or says up to where, by whom and when it was anchored.
- Exit codes: 0 verified to the level that was asked for, 1 altered, 2 that level was not reached, 3 something could not be read or understood.
- Cases marked F were repeated in a plain folder, those marked S on a real S3 server (MinIO).

What follows for an auditor: **note down a checkpoint each time you verify, and give it the next time.** With it every rewriting, fork and cut of what it covers is found, whoever
holds the keys. A witness or a time stamp does the same between your visits; look at the time up to which the report says that the head is anchored, and ask the witness for
its own record if that is older than it should be. Verify with ` + "`--deep`" + ` before you rely on a file that is not the evidence itself (JSONL).
`)
	for _, g := range suite() {
		fmt.Fprintf(&b, "\n## %s\n\n| no. | case | what is done | needs | `daybook verify` says | exit | also in |\n|---|---|---|---|---|---|---|\n", g.title)
		for _, c := range g.cases {
			for i, v := range c.variants {
				number, title := "", ""
				if i == 0 {
					title = c.title
					if number = "–"; c.number > 0 {
						number = fmt.Sprint(c.number)
					}
				}
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %d | %s |\n", number, title, v.does, v.needs(), v.answer(), v.exit, v.where())
			}
		}
	}
	b.WriteString("\n## Proofs\n\nA proof of one event (`daybook prove`) is checked by `daybook verify --proof`. Each of these is refused, with exit code 1:\n\n")
	for _, v := range proofVectors() {
		fmt.Fprintf(&b, "- %s\n", v.does)
	}
	b.WriteString("\n## Left out\n\n")
	for _, n := range []int{38, 45} {
		fmt.Fprintf(&b, "- %d. %s\n", n, leftOut[n])
	}
	return b.String()
}

func (v variant) needs() string {
	var list []string
	for _, has := range v.with {
		list = append(list, "`"+flags[has]+"`")
	}
	return strings.Join(list, " ")
}

func (v variant) answer() string {
	var list []string
	for _, code := range append(slices.Sorted(slices.Values(v.says)), v.notes...) {
		list = append(list, "`"+code+"`")
	}
	if v.unseen != "" {
		list = append(list, "**not seen**; needs "+v.unseen)
	}
	return strings.Join(list, " ")
}

func (v variant) where() string {
	s := ""
	if v.folder {
		s += "F"
	}
	if v.real() {
		s += "S"
	}
	return s
}
