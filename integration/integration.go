// Package integration holds the tests of what a user gets, run on the built program from outside: with real clients, real
// servers beside it, and its command line.
//
// The folders below hold what these tests stand on: sandbox and daemon run the program, reference runs Jupyter's own
// server, tap counts what scripts in other languages check, node and python hold those scripts, layers holds the module to
// its import rules, testrun runs and counts everything. Suites that take minutes are in conformance, the browser's in browser.
package integration
