//go:build !linux

package sinktest

func roomy(string) bool { return false }
