// Command pack makes the front end's archive that package labapp embeds.
//
// It downloads the wheels that a pip requirements file pins by sha256 (with pip, into a cache folder, only when they are not there
// yet), checks the sums itself, takes JupyterLab's application folder and the prebuilt extensions out of them, and writes one
// archive. It does nothing when the archive is up to date.
//
//	go run ./jupyterapi/labapp/internal/pack -python python3
//
// Run it from the module's root, or give the paths by flags.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// run is the whole command: it prints one line of result to stdout, and what pip says to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("pack", flag.ContinueOnError)
	flags.SetOutput(stderr)
	p := packer{stderr: stderr}
	flags.StringVar(&p.python, "python", "python3", "Python `interpreter` whose pip downloads the wheels")
	flags.StringVar(&p.cache, "cache", ".cache/wheels", "`folder` that keeps downloaded wheels")
	flags.StringVar(&p.list, "wheels", "jupyterapi/labapp/wheels.txt", "requirements `file` with a sha256 for each wheel")
	flags.StringVar(&p.out, "o", "jupyterapi/labapp/dist/lab.tar.zst", "archive `file` to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -h", flags.Arg(0))
	}
	result, err := p.pack(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, result)
	return err
}
