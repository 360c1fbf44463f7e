package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch/control"
	"daybook/config"
	"daybook/service"
)

func (a *app) tokenCommand() *cobra.Command {
	var in service.TokenRequest
	var expires config.Time
	create := a.administers(&cobra.Command{
		Use: "create --org ORG --source NAME [flags]", Short: "Make a token that may send events",
		Long: `Create makes a token that may send the events of one org and one source, and nothing else. It is
shown this once: only its hash is kept.

Exit codes: 0 done, 1 failed, 2 usage or not allowed.`,
		Example: `  daybook token create --org acme --source api --expires 2027-03-01`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.Org == "" || in.Source == "" {
				return usage(errors.New("--org or --source is missing"), "the org and the source are the token's: events that name others get them all the same")
			}
			in.Expires = timeOf(expires)
			return a.make(cmd, "/v1/tokens", in)
		},
	})
	create.Flags().StringVar(&in.Org, "org", "", "the `ORG` whose events it sends")
	create.Flags().StringVar(&in.Source, "source", "", "the `NAME` of the feed that they come from")
	create.Flags().TextVar(&expires, "expires", config.Time{}, "the `TIME` from which it is valid no more (default: never)")
	list := a.administers(&cobra.Command{
		Use: "list [flags]", Short: "List the tokens that may send events", Args: cobra.NoArgs,
		Long: "List lists the tokens, without their secrets, which nobody has.\n\nExit codes: 0 done, 1 failed, 2 usage or not allowed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var tokens []control.Token
			if err := a.call(cmd, http.MethodGet, "/v1/tokens", nil, &tokens); err != nil {
				return err
			}
			if a.flags.json {
				return a.printJSON(tokens)
			}
			t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(t, "ID\tORG\tSOURCE\tCREATED\tBY\tVALID")
			for _, k := range tokens {
				_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Org, k.Source, k.Created.UTC().Format(time.RFC3339), k.CreatedBy.Name, validity(k.Expires, k.Revoked))
			}
			return t.Flush()
		},
	})
	return group("token", "Make and revoke the tokens of senders", create, list, a.revokes("ID", "token", "/v1/tokens/"))
}

func (a *app) adminCommand() *cobra.Command {
	in := service.AdminRequest{}
	var expires config.Time
	create := a.administers(&cobra.Command{
		Use: "create NAME [flags]", Short: "Make a token that may administer",
		Long: `Create makes an admin's token. It is shown this once: only its hash is kept. An admin switches
trails on and off and makes tokens; a viewer looks. The first is made on the machine of the service,
by who has its data folder in hand. Give every person a token of their own: a trail is switched off
by two.

Exit codes: 0 done, 1 failed, 2 usage or not allowed.`,
		Example: `  daybook admin create alice
  daybook admin create monitoring --role viewer --expires 2027-03-01`,
		Args: takes(1, 1, "the NAME of the admin"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name, in.Expires = args[0], timeOf(expires)
			return a.make(cmd, "/v1/admins", in)
		},
	})
	create.Flags().StringVar(&in.Role, "role", control.RoleAdmin, "`ROLE`: admin or viewer")
	create.Flags().StringVar(&in.Org, "org", "*", "the `ORG` that is administered; * is all of them")
	create.Flags().TextVar(&expires, "expires", config.Time{}, "the `TIME` from which it is valid no more (default: never)")
	list := a.administers(&cobra.Command{
		Use: "list [flags]", Short: "List those who may administer", Args: cobra.NoArgs,
		Long: "List lists the admins who have a token. Those who have a certificate stand in the configuration.\n\nExit codes: 0 done, 1 failed, 2 usage or not allowed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var admins []control.Admin
			if err := a.call(cmd, http.MethodGet, "/v1/admins", nil, &admins); err != nil {
				return err
			}
			if a.flags.json {
				return a.printJSON(admins)
			}
			t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(t, "NAME\tROLE\tORG\tCREATED\tBY\tVALID")
			for _, k := range admins {
				_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", k.Name, k.Role, k.Org, k.Created.UTC().Format(time.RFC3339), k.CreatedBy.Name, validity(k.Expires, k.Revoked))
			}
			return t.Flush()
		},
	})
	return group("admin", "Make and revoke the tokens of admins", create, list, a.revokes("NAME", "admin", "/v1/admins/"))
}

func timeOf(t config.Time) *time.Time {
	if t.Time.IsZero() {
		return nil
	}
	return &t.Time
}

func validity(expires, revoked time.Time) string {
	switch {
	case !revoked.IsZero():
		return "revoked " + revoked.UTC().Format(time.RFC3339)
	case expires.IsZero():
		return "for good"
	}
	return "until " + expires.UTC().Format(time.RFC3339)
}

// make makes a token, and prints it.
func (a *app) make(cmd *cobra.Command, path string, in any) error {
	var made service.Made
	if err := a.call(cmd, http.MethodPost, path, in, &made); err != nil {
		return err
	}
	if made.Warning != "" {
		_, _ = fmt.Fprintf(a.stderr, "daybook: warning: %s\ndaybook: hint: %s\n", made.Warning, made.Hint)
	}
	if a.flags.json {
		return a.printJSON(made)
	}
	_, _ = fmt.Fprintln(a.stderr, "daybook: this token is shown once; keep it where a secret is kept")
	_, err := fmt.Fprintln(a.stdout, made.Secret)
	return err
}

// revokes is the command that takes a token back.
func (a *app) revokes(arg, what, path string) *cobra.Command {
	var reason string
	cmd := a.administers(&cobra.Command{
		Use: "revoke " + arg + " --reason TEXT [flags]", Short: "Take the token of a" + map[string]string{"token": " sender", "admin": "n admin"}[what] + " back",
		Long: "Revoke takes a token back, at once and for good. Why is recorded in the trail.\n\nExit codes: 0 done, 1 failed, 2 usage or not allowed.",
		Args: takes(1, 1, "the "+arg+" of the "+what),
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				return usage(errors.New("--reason is missing"), "it is recorded in the trail, for those who ask one day")
			}
			return a.call(cmd, http.MethodDelete, path+url.PathEscape(args[0])+"?reason="+url.QueryEscape(reason), nil, nil)
		},
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why (`TEXT`)")
	return cmd
}
