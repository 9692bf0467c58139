package crdt_test

import (
	"fmt"
	"slices"
)

// replay runs a given program on our documents. A panic is returned.
func replayProgram(program []step) (m *machine, fault any) {
	m = newMachine()
	m.program = program
	defer func() { fault = recover() }()
	for _, s := range program {
		m.run(s)
	}
	return m, nil
}

// shrink leaves out steps, then edits within steps, as long as the program still fails.
func shrink(program []step, fails func([]step) bool) []step {
	for size := len(program) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(program); {
			rest := slices.Concat(program[:at], program[at+size:])
			if !opens(program[at:at+size]) && fails(rest) {
				program = rest
			} else {
				at++
			}
		}
	}
	for i, s := range program {
		for at := 0; at < len(s.actions); {
			shorter := s
			shorter.actions = slices.Concat(s.actions[:at], s.actions[at+1:])
			rest := slices.Clone(program)
			rest[i] = shorter
			if fails(rest) {
				program, s = rest, shorter
			} else {
				at++
			}
		}
	}
	return program
}

// opens reports whether steps open a document: the numbers of the others would change without it.
func opens(steps []step) bool {
	return slices.ContainsFunc(steps, func(s step) bool { return s.op == "new" })
}

// shorten is the shortest program found that still differs, and how.
func (o *oracle) shorten(program []step) string {
	return shortest(program, func(program []step) (string, error) {
		m, fault := replayProgram(program)
		if fault != nil {
			return fmt.Sprint("panic: ", fault), nil
		}
		return o.compare(m)
	})
}

// shortest shrinks a program and says how what is left of it differs.
func shortest(program []step, differs func([]step) (string, error)) string {
	where := func(program []step) string {
		s, err := differs(program)
		if err != nil {
			return ""
		}
		return s
	}
	short := shrink(program, func(p []step) bool { return where(p) != "" })
	return fmt.Sprintf("%d steps shrink to %d: %s\n%s", len(program), len(short), programJSON(nil, short), where(short))
}
