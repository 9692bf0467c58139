package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

func (a *app) userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Give people an own link to the drive, or take it away",
		Long: "Every user may act as the daemon's own user: read and write all drives and run code.\n" +
			"Give links only to people who may do that.",
		Example: "  jupyter-drive user add grace\n  jupyter-drive user list",
		RunE:    needSubcommand,
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "add NAME", Short: "Add a user and print the link, once", Args: cobra.ExactArgs(1),
			Example: "  jupyter-drive user add grace",
			RunE:    func(cmd *cobra.Command, args []string) error { return a.userAdd(cmd, args[0]) },
		},
		&cobra.Command{
			Use: "remove NAME", Short: "End a user's link and sessions at once", Args: cobra.ExactArgs(1),
			Example: "  jupyter-drive user remove grace",
			RunE:    func(cmd *cobra.Command, args []string) error { return a.userRemove(cmd, args[0]) },
		},
		a.userListCommand(),
	)
	return cmd
}

func (a *app) userListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the users", Args: cobra.NoArgs,
		Example: "  jupyter-drive user list",
		RunE: func(*cobra.Command, []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			names := []string{}
			for _, u := range c.Users {
				names = append(names, u.Name)
			}
			if asJSON {
				return json.NewEncoder(a.stdout).Encode(map[string]any{"users": names})
			}
			for _, n := range names {
				fmt.Fprintln(a.stdout, n)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) userAdd(cmd *cobra.Command, name string) error {
	if err := checkUserName(name); err != nil {
		return fail(exitUsage, "%v", err)
	}
	c, err := a.config()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(c.Users, func(u userConfig) bool { return u.Name == name }) || name == a.env.user {
		return fail(exitConflict, "there is a user %q already; for a new link: jupyter-drive user remove %s, then add", name, name)
	}
	token := newToken()
	sum := sha256.Sum256([]byte(token))
	err = c.editConfig(func(text string) (string, error) {
		return appendTable(text, "[[user]]", [2]string{"name", name}, [2]string{"token_sha256", hex.EncodeToString(sum[:])}), nil
	})
	if err != nil {
		return err
	}
	var st status
	switch err := a.env.ask(cmd.Context(), "POST", "/reload", nil); {
	case errors.Is(err, errNotRunning):
		fmt.Fprintf(a.stderr, "No daemon is running; the link will work once one does.\n")
	case err != nil:
		return err
	default:
		if err := a.env.ask(cmd.Context(), "GET", "/status", &st); err != nil {
			return err
		}
	}
	url := st.URL
	if url == "" {
		url = "http://" + c.Listen + c.BaseURL
	}
	fmt.Fprintf(a.stderr, "%s can sign in with this link. It is shown only now; it lets its holder do all that you can do.\n", name)
	fmt.Fprintf(a.stdout, "%slab?token=%s\n", url, token)
	return nil
}

func (a *app) userRemove(cmd *cobra.Command, name string) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	err = c.editConfig(func(text string) (string, error) {
		text, found := removeTable(text, "[[user]]", func(body []string) bool { return hasLine(body, "name", name) })
		if !found {
			return "", fail(exitNotFound, "there is no user %q; see: jupyter-drive user list", name)
		}
		return text, nil
	})
	if err != nil {
		return err
	}
	if err := a.env.ask(cmd.Context(), "POST", "/reload", nil); err != nil && !errors.Is(err, errNotRunning) {
		return err
	}
	fmt.Fprintf(a.stderr, "%s can no longer sign in, and open sessions have ended.\n", name)
	return nil
}

// newToken returns 192 random bits in hexadecimal.
func newToken() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return hex.EncodeToString(b[:])
}

// needSubcommand is what a command does that is only a group of others.
func needSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fail(exitUsage, "unknown command %q; see: %s --help", args[0], cmd.CommandPath())
	}
	return cmd.Help()
}
