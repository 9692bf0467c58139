package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/jupyter-drive/jupyter-drive/kernels/shim"
)

// version is set by the build (-ldflags "-X main.version=…").
var version = "0.1.0-dev"

// Exit codes. They are published (docs/cli.md) and never used again for something else.
const (
	exitOK          = 0
	exitOther       = 1
	exitUsage       = 2
	exitConfig      = 3   // the configuration is invalid
	exitMount       = 4   // no FUSE, or the mount point cannot be used
	exitNotFound    = 5   //
	exitPermission  = 6   // not permitted
	exitUnavailable = 7   // a store cannot be reached; try later
	exitNotRunning  = 8   // no daemon
	exitRunning     = 9   // there is one already
	exitUnhealthy   = 10  // status found problems
	exitConflict    = 11  //
	exitUnflushed   = 12  // writes could not be finished
	exitInterrupted = 130 //
)

// shimCommand makes this program the parent of one kernel or terminal (package kernels/shim). It is for the daemon only.
const shimCommand = "kernel-shim"

// exitError is an error with its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// fail returns an error that ends the program with that code.
func fail(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == shimCommand {
		os.Exit(shim.Main(os.Stdin, os.Stdout))
	}
	if len(os.Args) == 3 && os.Args[1] == guardCommand {
		os.Exit(guardMain(os.Args[2], os.Stdin, os.Stdout))
	}
	env := readEnvironment()
	env.umask = syscall.Umask(0) // through the mount come modes to which the kernel has applied the callers' own masks
	os.Exit(run(untilSignal(), os.Args[1:], env, os.Stdin, os.Stdout, os.Stderr))
}

// untilSignal returns a context that the first signal ends. A second Ctrl-C ends the process at once; the mount's guard then takes
// the mount away. Other signals may come twice (a terminal that closes sends several) and count once.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	list := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup(1)
		list = append(list, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, list...)
	go func() { // ends with the process
		<-signals
		cancel()
		for s := range signals {
			if s == os.Interrupt {
				os.Exit(exitInterrupted)
			}
		}
	}()
	return ctx
}

// run is the program without its process: it returns the exit code.
func run(ctx context.Context, args []string, env environment, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{env: env, stdin: stdin, stdout: stdout, stderr: stderr}
	cmd := a.command()
	cmd.SetArgs(args)
	called, err := cmd.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		// cobra's own errors are about usage; ours have a code.
		exit = &exitError{exitUsage, fmt.Errorf("%w; see: %s --help", err, called.CommandPath())}
	}
	if exit.err.Error() != "" {
		fmt.Fprintln(stderr, "jupyter-drive: "+exit.err.Error())
	}
	return exit.code
}

// app is what all commands share.
type app struct {
	env            environment
	stdin          io.Reader
	stdout, stderr io.Writer
	configPath     string // --config
	verbose        bool
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "jupyter-drive",
		Short: "Your drives as plain files and in JupyterLab, with kernels that read them by path",
		Long: "jupyter-drive mounts local folders and buckets (S3) as one tree and serves the same tree to JupyterLab.\n" +
			"Start with: jupyter-drive up",
		Example:       "  jupyter-drive up\n  jupyter-drive up ~/projects",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout) // before the completion command is made, which keeps it
	root.SetErr(a.stderr)
	root.PersistentFlags().StringVar(&a.configPath, "config", "", "configuration file (default "+a.env.configFile()+")")
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false, "log more to stderr")
	root.AddCommand(
		a.upCommand(), a.serveCommand(), a.downCommand(),
		a.mountCommand(), a.umountCommand(),
		a.statusCommand(), a.driveCommand(), a.warmCommand(), a.fsckCommand(), a.gcCommand(), a.userCommand(), a.configCommand(), a.versionCommand(),
	)
	root.SetHelpCommand(helpCommand())
	root.InitDefaultCompletionCmd()
	completeCompletion(root)
	codeErrors(root)
	return root
}

// helpCommand is cobra's own but that a topic that does not exist is an error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about any command", Example: "  jupyter-drive help drive add",
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return fail(exitUsage, "there is no command %q; see: jupyter-drive --help", strings.Join(args, " "))
			}
			topic.InitDefaultHelpFlag() // as if it had been called
			return topic.Help()
		},
	}
}

// completeCompletion gives cobra's commands for completion what ours have.
func completeCompletion(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Args, cmd.RunE, cmd.Example = cobra.ArbitraryArgs, needSubcommand, completionExamples["bash"]
		for _, shell := range cmd.Commands() {
			shell.Example = completionExamples[shell.Name()]
		}
	}
}

var completionExamples = map[string]string{
	"bash":       "  source <(jupyter-drive completion bash)",
	"zsh":        "  jupyter-drive completion zsh > \"${fpath[1]}/_jupyter-drive\"",
	"fish":       "  jupyter-drive completion fish > ~/.config/fish/completions/jupyter-drive.fish",
	"powershell": "  jupyter-drive completion powershell | Out-String | Invoke-Expression",
}

// codeErrors gives errors of commands without an exit code exitOther, so that those left without one are cobra's, about usage.
func codeErrors(cmd *cobra.Command) {
	if inner := cmd.RunE; inner != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			err := inner(cmd, args)
			if _, coded := errors.AsType[*exitError](err); err == nil || coded {
				return err
			}
			return &exitError{exitOther, err}
		}
	}
	for _, child := range cmd.Commands() {
		codeErrors(child)
	}
}
