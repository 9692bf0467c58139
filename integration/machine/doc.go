// Package machine does the same random things to files of a drive in a bucket, through the mount of the built program, and to files of a folder
// on a disk: results, error numbers and trees must be the same all the time, and what a daemon sees in the end that knows the bucket alone.
//
// Seeds run side by side, each in a folder of its own. Few of them run unless JUPYTER_DRIVE_TEST_FULL is set.
package machine
