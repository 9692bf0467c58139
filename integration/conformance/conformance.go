// Package conformance runs suites that others wrote for what we claim to be: Jupyter Server's own REST tests and pjdfstest,
// each against a reference in the same run.
//
// The suites take minutes, so they have a make target of their own, `make conformance`. Each prints `N of M`: of the M tests
// that the reference passes, how many we pass.
package conformance
