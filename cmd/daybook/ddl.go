package main

import (
	"bytes"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"daybook/batch/ddl"
	"daybook/config"
)

func (a *app) ddlCommand() *cobra.Command {
	var engine, configFile string
	o := ddl.Options{}
	cmd := &cobra.Command{
		Use:   "ddl --engine ENGINE [flags] [URL|DIR]",
		Short: "Print the definition of a table over the Parquet files of a store",
		Long: `Ddl prints the statements by which an engine reads all Parquet files of a store as one table: its
columns with their types, and class, trail and dt as partitions. The store is not asked.

The engines are duckdb, athena, spark and trino (by its Hive connector).

Exit codes: 0 done, 1 failed, 2 usage.`,
		Example: `  daybook ddl --engine duckdb ./audit
  daybook ddl --engine athena --table logs.audit s3://audit-logs/prod`,
		Args: takes(0, 1, "at most one store"),
		RunE: func(_ *cobra.Command, args []string) error {
			if engine == "" {
				return usage(errors.New("--engine is missing"), "it is one of "+strings.Join(ddl.Engines(), ", "))
			}
			c := config.Default()
			if configFile != "" {
				var err error
				if c, err = config.Load(configFile); err != nil {
					return usageError{err}
				}
			}
			o.Store, o.Endpoint, o.Region = c.Store.URL, c.Store.Endpoint, c.Store.Region
			if len(args) > 0 {
				if err := config.CheckStoreURL(args[0]); err != nil {
					return usageError{err}
				}
				o.Store = args[0]
			}
			if !isS3(o.Store) {
				o.Store = folderOf(o.Store)
			}
			var text bytes.Buffer
			if err := ddl.Write(&text, engine, &o); err != nil {
				return usageError{err}
			}
			_, err := a.stdout.Write(text.Bytes())
			return err
		},
	}
	set := cmd.Flags()
	set.StringVar(&engine, "engine", "", "the `ENGINE`: "+strings.Join(ddl.Engines(), ", "))
	set.StringVar(&o.Table, "table", "audit", "the table's `NAME`, with those of database and catalog before it if need be")
	set.StringVar(&configFile, "config", "", "the configuration `FILE`, for the store and its endpoint")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // this and the next fail only for a flag that is not there
	_ = cmd.RegisterFlagCompletionFunc("engine", cobra.FixedCompletions(ddl.Engines(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
