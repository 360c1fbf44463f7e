package syslog

import "daybook/formats/lines"

// Limit returns what InfoLimit can be by the rows so far.
func (c *Checker) Limit() lines.Span { return c.limit }
