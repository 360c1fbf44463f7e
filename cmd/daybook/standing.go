package main

import "github.com/spf13/cobra"

func (a *app) importCommand() *cobra.Command { return &cobra.Command{Use: "import"} }
func (a *app) rollCommand() *cobra.Command   { return &cobra.Command{Use: "roll"} }
func (a *app) statusCommand() *cobra.Command { return &cobra.Command{Use: "status"} }
