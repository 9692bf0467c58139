//go:build race

package fusemount

// raceDetector says that the tests run with the race detector, which makes requests some ten times slower.
const raceDetector = true
