// Package promises holds the tests of what jupyter-drive promises about files, on the built program through its mount and its API
// at once: the same bytes by every way, no write lost without a word, nothing outside the drives within reach.
//
// That acknowledged writes survive a kill is proven in package integration, that a kernel is where its notebook is in kernelsrun.
package promises
