// Package bucketfaults runs a drive over a bucket of a real server, in process, while what passes between them is broken on
// purpose: requests are refused, connections cut, answers lost, cut short or damaged, credentials expire and clocks differ.
//
// A drive must behave all that time as one in memory does, and the bucket alone must hold the same in the end. The counts are small
// unless JUPYTER_DRIVE_TEST_FULL is set.
package bucketfaults
