package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"daybook/batch"
	"daybook/config"
	"daybook/service"
	"daybook/sink"
	"daybook/sink/s3"
)

func (a *app) bucketCommand() *cobra.Command {
	var (
		days int
		mode string
		tier string
	)
	create := &cobra.Command{
		Use: "create [flags] [s3://BUCKET]", Short: "Make a bucket with Object Lock and versioning",
		Long: `Create makes the bucket of the URL (default: the configuration's store) with Object Lock and
versioning. Daybook locks each file by itself; --mode and --days add a default retention as a floor
under what others put there. A bucket that is there and right is left as it is; one that can't lock
is refused. Endpoint, region and credentials come from the configuration or the AWS environment;
with --tier they, and the URL, are those of that tier in store.tiers.

Exit codes: 0 done, 1 failed, 2 usage.`,
		Example: `  daybook bucket create --config daybook.yaml
  daybook bucket create --tier WARM --mode compliance --days 365 --config daybook.yaml
  daybook bucket create --mode governance --days 30 s3://audit-logs`,
		Args: takes(0, 1, "at most one URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.createBucket(cmd, args, tier, mode, days)
		},
	}
	a.flags.addTo(create, "config")
	create.Flags().StringVar(&mode, "mode", "", "the default retention's `MODE`: governance or compliance")
	create.Flags().IntVar(&days, "days", 0, "the default retention's `DAYS`")
	create.Flags().StringVar(&tier, "tier", "", "make the bucket of the tier `NAME` of store.tiers")
	create.MarkFlagsRequiredTogether("mode", "days")
	return group("bucket", "Make and look after a bucket that holds sealed files", create, a.bucketPolicyCommand(), a.bucketAcceptCommand(), a.bucketPlanCommand(), a.bucketApplyCommand())
}

func (a *app) createBucket(cmd *cobra.Command, args []string, tier, mode string, days int) error {
	where, opts, err := a.bucketToCreate(args, tier)
	if err != nil {
		return err
	}
	want := s3.Bucket{Days: days}
	if want.Mode, err = sink.ParseMode(mode); err != nil {
		return usageError{err}
	}
	created, err := s3.CreateBucket(cmd.Context(), where, want, opts)
	if err != nil {
		return err
	}
	state := "is there and can lock"
	if created {
		state = "was made, with Object Lock and versioning"
	}
	_, err = fmt.Fprintf(a.stdout, "%s %s\n", where, state)
	return err
}

// bucketToCreate returns the URL of a bucket that is to be made, and how to get at it: a tier's, or else the one that the arguments or the configuration name.
func (a *app) bucketToCreate(args []string, tier string) (string, *s3.Options, error) {
	switch {
	case tier != "" && len(args) > 0:
		return "", nil, usage(errors.New("a URL and a tier are given"), "name the bucket by one of the two, not both")
	case tier != "" && a.flags.config == "":
		return "", nil, usage(fmt.Errorf("where tier %s lies is in the configuration", tier), "give it with --config")
	}
	c, err := a.bucketConfig(args)
	if err != nil {
		return "", nil, err
	}
	if tier == "" {
		opts, err := s3Options(c)
		return c.Store.URL, opts, err
	}
	for i := range c.Store.Tiers {
		if t := &c.Store.Tiers[i]; t.Name == tier {
			return t.URL, tierOptions(t), nil
		}
	}
	return "", nil, usage(fmt.Errorf("store.tiers has no %s", tier), "add it there, with name, url and endpoint")
}

// bucketConfig is the configuration, if there is one, with the bucket that the arguments name.
func (a *app) bucketConfig(args []string) (*config.Config, error) {
	c := config.Default()
	if a.flags.config != "" {
		var err error
		if c, err = config.Load(a.flags.config); err != nil {
			return nil, usageError{err}
		}
	}
	if len(args) > 0 {
		c.Store.URL = args[0]
	}
	if !isS3(c.Store.URL) {
		return nil, usage(fmt.Errorf("%s is no bucket", c.Store.URL), "name one as s3://bucket/prefix, here or as store.url of the configuration")
	}
	return c, nil
}

func (a *app) bucketPolicyCommand() *cobra.Command {
	var (
		role, server, mode string
		opts               s3.PolicyOptions
	)
	cmd := &cobra.Command{
		Use: "policy --role ROLE [flags] [s3://BUCKET/PREFIX]", Short: "Print the least that a writer, reader or verifier must be allowed",
		Long: `Policy prints an IAM policy for the URL (default: the configuration's store), with the least that a
role needs below the prefix. A writer seals and reads back, and can neither delete nor change the
bucket; a reader lists and fetches files; a verifier reads versions, locks and how the bucket is set
up as well. Nothing is sent anywhere.

Where the server can hold a writer to it, the policy demands a lock on every PUT (aws, minio), that
nothing is put over what is there (aws), and that no lock is longer than the longest class of the
configuration, or --max-days (aws). versitygw has policies of buckets only: name the user.

Exit codes: 0 done, 2 usage.`,
		Example: `  daybook bucket policy --role writer --config daybook.yaml > writer.json
  daybook bucket policy --role reader --server minio s3://audit-logs/prod
  daybook bucket policy --role verifier --server versitygw --principal auditor s3://audit-logs/prod`,
		Args: takes(0, 1, "at most one URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.bucketConfig(args)
			if err != nil {
				return err
			}
			if err := policyOptions(cmd, c, server, mode, &opts); err != nil {
				return err
			}
			text, err := s3.Policy(c.Store.URL, s3.Role(role), &opts)
			if err != nil {
				return usageError{err}
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
	a.flags.addTo(cmd, "config")
	set := cmd.Flags()
	set.StringVar(&role, "role", "", "writer, reader or verifier (`ROLE`)")
	set.StringVar(&server, "server", "", "what is to enforce it: aws, minio or versitygw (`KIND`; default: aws, if no other endpoint is configured)")
	set.StringVar(&opts.Principal, "principal", "", "make it a policy of the bucket, for this user (`ARN`; versitygw: an access key)")
	set.StringVar(&mode, "mode", "", "the lock `MODE` that a writer must set: compliance, governance or none (default: store.mode, or either)")
	set.IntVar(&opts.MaxDays, "max-days", 0, "for how many `DAYS` a writer may lock (default: the longest class and a sixteenth, or no limit)")
	set.BoolVar(&opts.Holds, "holds", false, "let the writer set and release legal holds")
	set.BoolVar(&opts.Restore, "restore", false, "let the reader have objects brought back from an archive, which costs")
	set.StringVar(&opts.KMSKey, "kms-key", "", "the `ARN` of the key that objects are encrypted with (aws)")
	for name, values := range map[string][]string{"role": names(s3.Roles()), "server": names(s3.Servers()), "mode": {"compliance", "governance", "none"}} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
	}
	return cmd
}

func names[T ~string](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, string(v))
	}
	return out
}

// policyOptions takes what the flags do not say from the configuration.
func policyOptions(cmd *cobra.Command, c *config.Config, server, mode string, opts *s3.PolicyOptions) error {
	if opts.Server = s3.Server(server); server == "" {
		u, err := url.Parse(c.Store.Endpoint)
		if err == nil && c.Store.Endpoint != "" && !strings.HasSuffix(u.Hostname(), ".amazonaws.com") {
			return usage(errors.New("the store is not at AWS, and servers differ in what policies they take"), "say which it is: --server minio, or --server versitygw")
		}
		opts.Server = s3.AWS
	}
	list, err := policies(c)
	if err != nil {
		return err
	}
	switch {
	case mode != "":
		m, err := sink.ParseMode(mode)
		if err != nil {
			return usageError{err}
		}
		opts.Modes = []sink.Mode{m}
	case c.Store.Mode != "":
		opts.Modes = list.Modes()
	}
	if !cmd.Flags().Changed("max-days") {
		opts.MaxDays = batch.MaxDays(list)
	}
	return nil
}

func (a *app) bucketAcceptCommand() *cobra.Command {
	cmd := a.administers(&cobra.Command{
		Use:   "accept [flags]",
		Short: "Take for right how the bucket is set up now",
		Long: `Accept tells the service that the bucket's settings are right as daybook status tells them:
versioning, lock, default retention, lifecycle, policy and encryption. The service looks at them
daily, and at its start; what differs from what was accepted is an alert of daybook status, and an
event of every trail. So is the accepting.

Accept looks again. If the bucket is not as the service saw it last, it accepts nothing and tells
what was changed: look at it, and accept again.

Exit codes: 0 done, 1 failed, 2 usage or not allowed.`,
		Example: "  daybook bucket accept --config daybook.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var st service.Status
			if err := a.call(cmd, http.MethodGet, "/v1/status", nil, &st); err != nil {
				return err
			}
			var in service.AcceptRequest
			if st.Bucket != nil {
				in.Digest = st.Bucket.Digest
			}
			var d service.Drift
			if err := a.call(cmd, http.MethodPost, "/v1/bucket/accept", in, &d); err != nil {
				return err
			}
			if a.flags.json {
				return a.printJSON(d)
			}
			t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, s := range d.Accepted {
				value := s.Value
				if s.Unknown != "" {
					value = "can't be read: " + s.Unknown
				}
				_, _ = fmt.Fprintf(t, "%s\t%.120q\n", s.Name, value) // Flush tells the first error
			}
			return t.Flush()
		},
	})
	return cmd
}
