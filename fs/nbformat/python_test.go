package nbformat

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// pythonVariable names a Python interpreter that has nbformat, for the tests that compare with it.
const pythonVariable = "JUPYTER_DRIVE_TEST_PYTHON"

// python returns an interpreter that has nbformat, or skips the test.
func python(t *testing.T) string {
	t.Helper()
	candidates := []string{os.Getenv(pythonVariable), filepath.Join("..", "..", ".cache", "venv", "bin", "python")}
	for _, interpreter := range candidates {
		if interpreter == "" {
			continue
		}
		if err := exec.CommandContext(t.Context(), interpreter, "-c", "import nbformat").Run(); err == nil {
			return interpreter
		}
	}
	t.Skipf("no Python with nbformat: set %s, or install nbformat in .cache/venv", pythonVariable)
	return ""
}

// opinion is what Python's nbformat makes of one file; nil where it raised an exception.
type opinion struct {
	Valid         *bool   `json:"valid"`
	UpgradedValid *bool   `json:"upgraded_valid"`
	RepairedValid *bool   `json:"repaired_valid"`
	Rewritten     []byte  `json:"rewritten"`
	Upgraded      []byte  `json:"upgraded"`
	Repaired      []byte  `json:"repaired"`
	Current       []byte  `json:"current"`
	Digest        *string `json:"digest"`
}

// pythonOpinions asks Python about all samples.
func pythonOpinions(t *testing.T, samples []sample) []opinion {
	t.Helper()
	var questions bytes.Buffer
	for _, s := range samples {
		fmt.Fprintf(&questions, "{\"data\": %q}\n", base64.StdEncoding.EncodeToString(s.data))
	}
	driver := exec.CommandContext(t.Context(), python(t), filepath.Join("testdata", "driver.py"))
	driver.Stdin = &questions
	driver.Stderr = os.Stderr
	answers, err := driver.Output()
	if err != nil {
		t.Fatalf("driver: %v", err)
	}
	lines := bufio.NewReader(bytes.NewReader(answers))
	banner, err := lines.ReadBytes('\n')
	if err != nil {
		t.Fatalf("driver: %v", err)
	}
	t.Logf("compared with %s", bytes.TrimSpace(banner))
	opinions := make([]opinion, len(samples))
	decoder := json.NewDecoder(lines)
	for i := range opinions {
		if err := decoder.Decode(&opinions[i]); err != nil {
			t.Fatalf("driver: answer %d: %v", i, err)
		}
	}
	return opinions
}

// numberedIDs counts up as the driver does.
func numberedIDs() IDSource {
	next := 0
	return func(Cell, func(string) bool) string {
		next++
		return fmt.Sprintf("id-%d", next-1)
	}
}

func TestPythonAgrees(t *testing.T) {
	samples := corpus(1, 240)
	compared := map[string]int{}
	for i, theirs := range pythonOpinions(t, samples) {
		s := samples[i]
		t.Run(s.name, func(t *testing.T) { comparison{t, s.data, compared}.run(theirs) })
	}
	t.Logf("of %d notebooks compared: %v", len(samples), compared)
	for what, least := range map[string]int{"valid": 50, "invalid": 50, "rewritten": 150, "upgraded": 150, "repaired": 150, "current": 50, "digest": 120} {
		if compared[what] < least {
			t.Errorf("only %d notebooks compared as %s, want at least %d", compared[what], what, least)
		}
	}
}

// comparison is one file looked at from both sides.
type comparison struct {
	*testing.T
	data     []byte
	compared map[string]int
}

func (c comparison) run(theirs opinion) {
	c.verdict("valid", theirs.Valid, c.attempt())
	c.verdict("upgraded valid", theirs.UpgradedValid, c.attempt(upgradeNumbered))
	c.verdict("repaired valid", theirs.RepairedValid, c.attempt(upgradeNumbered, repairNumbered))

	n, err := Parse(c.data)
	if err != nil {
		return
	}
	major, minor := n.Version()
	if major >= 3 {
		c.bytes("rewritten", theirs.Rewritten, n)
	}
	if major == 4 && theirs.Digest != nil {
		c.compared["digest"]++
		if got := n.Digest([]byte("differential")); got != *theirs.Digest {
			c.Errorf("Digest = %s, want %s", got, *theirs.Digest)
		}
	}
	if err := n.Upgrade(numberedIDs()); err != nil {
		return
	}
	c.bytes("upgraded", theirs.Upgraded, n)
	repaired := n.Clone()
	repaired.RepairIDs(numberedIDs())
	c.bytes("repaired", theirs.Repaired, repaired)
	if major == 4 && minor < 5 && n.StripIDs() == 0 && n.UpgradeMinor(numberedIDs()) == nil {
		c.bytes("current", theirs.Current, n)
	}
}

func upgradeNumbered(n *Notebook) error { return n.Upgrade(numberedIDs()) }

func repairNumbered(n *Notebook) error {
	n.RepairIDs(RandomIDs())
	return nil
}

// attempt returns the first error on the way to a valid notebook.
func (c comparison) attempt(steps ...func(*Notebook) error) error {
	n, err := Parse(c.data)
	if err != nil {
		return err
	}
	for _, step := range steps {
		if err := step(n); err != nil {
			return err
		}
	}
	return n.Validate()
}

// verdict compares whether a notebook is valid; Python's exceptions count as no.
func (c comparison) verdict(what string, theirs *bool, err error) {
	c.Helper()
	want := theirs != nil && *theirs
	if want {
		c.compared["valid"]++
	} else {
		c.compared["invalid"]++
	}
	if got := err == nil; got != want {
		c.Errorf("%s = %v (%v), want %v for %s", what, got, err, want, c.data)
	}
}

// numbered matches the identifiers of numberedIDs.
var numbered = regexp.MustCompile(`"id-[0-9]+"`)

// bytes compares what both sides write, where Python writes at all.
func (c comparison) bytes(what string, want []byte, n *Notebook) {
	c.Helper()
	if want == nil {
		return
	}
	c.compared[what]++
	got, err := n.Marshal()
	if what == "repaired" { // identifiers are numbered in another order
		got, want = numbered.ReplaceAll(got, nil), numbered.ReplaceAll(want, nil)
	}
	if err != nil || !bytes.Equal(got, want) {
		c.Errorf("%s = %v\n%s\nwant\n%s", what, err, got, want)
	}
}
