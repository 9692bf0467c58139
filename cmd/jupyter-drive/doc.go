// Command jupyter-drive mounts drives as one tree and serves them as Jupyter's own API.
//
// It is the one place that knows every package: it reads flags, the configuration and the environment, builds the parts, joins them
// and ends them in the right order. The packages themselves read neither environment nor settings.
//
//	main.go         entry and exit codes           config*.go   the configuration file
//	environment.go  the environment, read once     daemon.go    the parts, joined
//	control.go      the socket other commands use  up.go …      one file for each command
package main
