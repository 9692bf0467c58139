// Package drivetest is the Drive contract as a suite of tests, with a file system exerciser and a live document for tests.
//
// # Nouns
//
// [Run] checks that a drive keeps every promise of package fs. [FSX] runs random operations on one file beside a model of it and
// shrinks a failing sequence; it works on drives and on real mounts. [FakeLive] is an [fs.Live] that records what it is asked.
//
// # Rules
//
//   - Each case of Run gets a fresh, empty drive and closes it.
//   - A feature that a drive lacks is named in [Options.Absent] with the reason; the suite fails if the drive has it after all.
//   - Random choices come from a seed that is printed when they lead to a failure.
//
// # Example
//
//	func TestDrive(t *testing.T) {
//		drivetest.Run(t, func(*testing.T) fs.Drive { return mem.New(mem.Options{}) }, drivetest.Options{
//			Absent: map[drivetest.Feature]string{drivetest.HardLinks: "names are kept in one place"},
//		})
//	}
//
// # What it does not do
//
// It does not test speed, nor what happens in a crash, nor changes that others make in the store.
package drivetest
