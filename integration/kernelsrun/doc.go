// Package kernelsrun holds the tests that start many kernels in the mount of the built program and talk to them through its
// WebSocket, while the daemon collects garbage without pause: any thread of the daemon that waited for its own mount would show.
//
// The counts are small unless JUPYTER_DRIVE_TEST_FULL is set.
package kernelsrun
