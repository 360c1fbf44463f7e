package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"daybook/batch/seal"
	"daybook/config"
	"daybook/formats"
	"daybook/sink"
	"daybook/sink/s3"
)

// exitDiffers says that a bucket does not have the lifecycle rules that it should have.
const exitDiffers = 3

const planLong = `The rules follow from the retention policies of the configuration: below each format and class, when
files move to warm_storage and cold_storage, and when they are removed; older versions and delete
markers likewise. They go by prefix, never by tag. Nothing below seals/, log/ and keys/ has a rule.
Rules of others in the bucket stay as they are, to the byte.

Files move only to where they stay locked: a storage class of AWS, or a tier of MinIO whose bucket
(store.tiers) has a default retention that is long enough. An object is put there, once, to see it
locked: it stays for as long. --trust-tier vouches for a tier.

A rule that removes files later than the policies say, since they were made shorter, stays as it is:
what was sealed before is locked for as long, and would be hidden. The plan tells of it; --shorten
shortens it, once all that was sealed before is past its lock.`

// planFlags are those of plan and apply.
type planFlags struct {
	trust   []string
	shorten bool
}

func (a *app) bucketPlanCommand() *cobra.Command {
	var flags planFlags
	cmd := &cobra.Command{
		Use: "plan --config FILE [flags] [s3://BUCKET/PREFIX]", Short: "Show which lifecycle rules the bucket has, and should have",
		Long: planLong + `

Plan changes nothing in the store. A server without lifecycle rules is told, and what will then not
happen.

Exit codes: 0 there is nothing to do, 1 failed, or a tier would not hold, 2 usage, 3 there is.`,
		Example: "  daybook bucket plan --config daybook.yaml\n  daybook bucket plan --json --config daybook.yaml",
		Args:    takes(0, 1, "at most one URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.planLifecycle(cmd.Context(), args, &flags)
			if err != nil {
				return err
			}
			if err := a.printPlan(l, false); err != nil {
				return err
			}
			if err := l.loose(); err != nil {
				return err
			}
			if l.plan.Differs() {
				return verdict{exitDiffers}
			}
			return nil
		},
	}
	a.addPlanFlags(cmd, &flags)
	return cmd
}

func (a *app) bucketApplyCommand() *cobra.Command {
	var (
		flags planFlags
		yes   bool
	)
	cmd := &cobra.Command{
		Use: "apply --config FILE [flags] [s3://BUCKET/PREFIX]", Short: "Give the bucket the lifecycle rules that it should have",
		Long: planLong + `

Apply shows the plan, asks, and does it; with --yes it does not ask. It takes the right to set the
lifecycle, which the writer must not have: run it with an administrator's credentials. A service at
work takes the change for somebody else's until daybook bucket accept.

Exit codes: 0 done, or there was nothing to do, 1 failed or declined, 2 usage.`,
		Example: "  daybook bucket apply --config daybook.yaml\n  daybook bucket apply --yes --config daybook.yaml",
		Args:    takes(0, 1, "at most one URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.planLifecycle(cmd.Context(), args, &flags)
			if err != nil {
				return err
			}
			if err := l.loose(); err != nil {
				return err
			}
			if !a.flags.json || !yes {
				if err := a.printPlan(l, false); err != nil {
					return err
				}
			}
			if l.plan.Differs() && !yes {
				if err := a.confirm(); err != nil {
					return err
				}
			}
			if err := l.store.ApplyLifecycle(cmd.Context(), l.plan, l.ages); err != nil {
				return err
			}
			if a.flags.json && yes {
				return a.printPlan(l, true)
			}
			if l.plan.Differs() {
				_, err = fmt.Fprintln(a.stdout, "done")
			}
			return err
		},
	}
	a.addPlanFlags(cmd, &flags)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) addPlanFlags(cmd *cobra.Command, f *planFlags) {
	a.flags.addTo(cmd, "config", "json")
	cmd.Flags().BoolVar(&f.shorten, "shorten", false, "let rules remove files earlier than they did: nothing that was sealed before may be locked still")
	cmd.Flags().StringArrayVar(&f.trust, "trust-tier", nil, "vouch for the tier `NAME`: that nobody can delete what moves there; may be given again")
}

// lifecycle is what a plan was made of.
type lifecycle struct {
	name  string
	store *s3.Store
	ages  []s3.Ages
	plan  *s3.LifecyclePlan
	tiers []s3.TierState
}

func (a *app) planLifecycle(ctx context.Context, args []string, f *planFlags) (*lifecycle, error) {
	c, err := a.bucketConfig(args)
	if err != nil {
		return nil, err
	}
	if a.flags.config == "" {
		return nil, usage(errors.New("no retention policies are known"), "give the store's configuration with --config")
	}
	l := &lifecycle{name: storeName(c)}
	if l.ages, err = agesOf(c); err != nil {
		return nil, err
	}
	opts, err := s3Options(c)
	if err != nil {
		return nil, err
	}
	opts.Log = a.warnings()
	if l.store, err = s3.New(c.Store.URL, opts); err != nil {
		return nil, err
	}
	if l.plan, err = l.store.PlanLifecycle(ctx, l.ages, f.shorten); err != nil {
		return nil, err
	}
	if !l.plan.Supported {
		return l, nil
	}
	tiers, err := tierStores(c, opts.Log)
	if err != nil {
		return nil, err
	}
	l.tiers = l.store.CheckTiers(ctx, l.ages, tiers, f.trust)
	return l, nil
}

// tierStores opens the bucket of each tier, by the tier's name.
func tierStores(c *config.Config, log *slog.Logger) (map[string]*s3.Store, error) {
	tiers := map[string]*s3.Store{}
	for i := range c.Store.Tiers {
		t := &c.Store.Tiers[i]
		o := tierOptions(t)
		o.Log = log
		var err error
		if tiers[t.Name], err = s3.New(t.URL, o); err != nil {
			return nil, err
		}
	}
	return tiers, nil
}

// tierOptions are how to get at the bucket of a tier.
func tierOptions(t *config.Tier) *s3.Options {
	return &s3.Options{Unlocked: true, Endpoint: t.Endpoint, Region: t.Region, PathStyle: t.PathStyle, CAFile: t.CAFile, Profile: t.Profile}
}

// agesOf are those of each format's files of each class.
func agesOf(c *config.Config) ([]s3.Ages, error) {
	list, err := policies(c)
	if err != nil {
		return nil, err
	}
	var ages []s3.Ages
	for i := range list {
		rules := list[i].Lifecycle()
		for _, f := range formats.All() {
			ages = append(ages, s3.Ages{
				Prefix: fmt.Sprintf("%s/class=%s/", f.Name, seal.EncodeName(list[i].Class)), Warm: rules.Warm, WarmAfter: rules.WarmAfter, Cold: rules.Cold, ColdAfter: rules.ColdAfter,
				ExpireAfter: rules.ExpireAfter, Mode: list[i].Mode,
			})
		}
	}
	return ages, nil
}

// loose is the error of the first tier that would not hold.
func (l *lifecycle) loose() error {
	for _, t := range l.tiers {
		if !t.Holds {
			return &sink.HintError{Err: fmt.Errorf("tier %s: %s", t.Name, t.Why), Hint: t.Hint}
		}
	}
	return nil
}

func (a *app) printPlan(l *lifecycle, applied bool) error {
	if a.flags.json {
		return a.printJSON(struct {
			Store   string `json:"store"`
			Differs bool   `json:"differs"`
			Applied bool   `json:"applied"`
			*s3.LifecyclePlan
			Tiers []s3.TierState `json:"tiers"`
		}{l.name, l.plan.Differs(), applied, l.plan, l.tiers})
	}
	if !l.plan.Supported {
		_, err := fmt.Fprintf(a.stdout, "this server has no lifecycle rules; what will not happen:\n%s\n", strings.Join(l.plan.Undone, "\n"))
		return err
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	count := map[string]int{}
	for _, c := range l.plan.Changes {
		count[c.Action]++
		switch c.Action {
		case "keep":
		case "change":
			_, _ = fmt.Fprintf(t, "change\t%s\t%s\n\t\t→ %s\n", c.ID, c.Before, c.After) // Flush tells the first error
		default:
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s%s\n", c.Action, c.ID, c.Before, c.After) // one of the two is blank
		}
		if c.Shorter != "" {
			count["longer"]++
			_, _ = fmt.Fprintf(t, "longer\t%s\t%s\n\t\tby the policies: %s\n", c.ID, c.After, c.Shorter)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "%s: %d rules to add, %d to change, %d to remove; %d are right, %d of others stay\n",
		l.name, count["add"], count["change"], count["remove"], count["keep"], count["other"])
	if n := count["longer"]; n > 0 && err == nil {
		_, err = fmt.Fprintf(a.stdout, "%d rules remove files later than the policies say, for what was sealed before; --shorten shortens them\n", n)
	}
	return err
}

// confirm asks the person at the keyboard.
func (a *app) confirm() error {
	_, _ = fmt.Fprint(a.stderr, "do it? Write yes: ") // an answer is what counts
	answer, _ := bufio.NewReader(a.stdin).ReadString('\n')
	if strings.TrimSpace(answer) == "yes" {
		return nil
	}
	return &sink.HintError{Err: errors.New("nothing was done"), Hint: "answer yes, or give --yes"}
}
