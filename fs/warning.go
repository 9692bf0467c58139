package fs

// Severity is how bad a warning is.
type Severity uint8

// The severities.
const (
	Low    Severity = iota + 1 // worth knowing
	Medium                     // something does not work
	High                       // data is at risk
)

// Warning is a health problem, registered once as a value and shown alike by the command line and the API.
type Warning struct {
	Code     string // stable, e.g. "watch-overflow"
	Title    string
	Text     string // the cause, the object and the next step
	Severity Severity
}
