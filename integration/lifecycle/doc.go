// Package lifecycle holds the tests of how the built program starts, is asked, and ends: its commands and exit codes, one daemon at
// a time, users and drives that come and go while it runs, and that nothing of it is left when it has ended.
//
// That it ends well in the middle of saves is proven in package integration.
package lifecycle
