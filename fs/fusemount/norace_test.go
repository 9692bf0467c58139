//go:build !race

package fusemount

const raceDetector = false
