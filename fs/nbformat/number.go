package nbformat

import (
	"math"
	"strconv"
	"strings"
)

// maxDigits is the longest integer Python's json module reads and prints.
const maxDigits = 4300

// Number is a JSON number in the text that Python's json module prints for it: integers of any length keep their
// digits, others have the shortest form of the IEEE double, such as "1.0", "1e-05" and "1e+16". The texts NaN,
// Infinity and -Infinity, which Python reads and writes though JSON has them not, are Numbers too.
type Number string

// Int returns n as a Number.
func Int(n int64) Number { return Number(strconv.FormatInt(n, 10)) }

// Float returns f as a Number; a whole f keeps its fraction, as in "1.0".
func Float(f float64) Number {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	scientific := strconv.FormatFloat(f, 'e', -1, 64)
	exponent, err := strconv.Atoi(scientific[strings.IndexByte(scientific, 'e')+1:])
	if err != nil || exponent < -4 || exponent >= 16 {
		return Number(scientific)
	}
	plain := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(plain, ".") {
		plain += ".0"
	}
	return Number(plain)
}

// IsInt reports whether n is an integer, as 1 is and 1.0 is not.
func (n Number) IsInt() bool { return n != "" && !strings.ContainsAny(string(n), ".eNI") }

// IsFinite reports whether n can be written in strict JSON: it is neither NaN nor an infinity.
func (n Number) IsFinite() bool { return !strings.ContainsAny(string(n), "NI") }

// Int64 returns the integer n; ok is false when n is not an integer or needs more than 64 bits.
func (n Number) Int64() (i int64, ok bool) {
	i, err := strconv.ParseInt(string(n), 10, 64)
	return i, err == nil
}

// Float64 returns the double nearest to n, an infinity beyond the largest double.
func (n Number) Float64() float64 {
	// The only error a Number can meet is a range error, which comes with the right infinity.
	f, _ := strconv.ParseFloat(string(n), 64)
	return f
}

// pythonString returns n as Python's str prints it, which differs from its JSON for what JSON has not.
func (n Number) pythonString() string {
	switch n {
	case "NaN":
		return "nan"
	case "Infinity":
		return "inf"
	case "-Infinity":
		return "-inf"
	}
	return string(n)
}

// numberFromLiteral returns the Number for a JSON number literal.
func numberFromLiteral(literal string) Number {
	if strings.ContainsAny(literal, ".eE") {
		// ParseFloat of a valid literal fails on range only, and then returns the infinity Python has as well.
		f, _ := strconv.ParseFloat(literal, 64)
		return Float(f)
	}
	if literal == "-0" {
		return "0"
	}
	return Number(literal)
}
