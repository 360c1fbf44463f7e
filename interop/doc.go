// Package interop holds Daybook's files against other people's programs: DuckDB, arrow-go, a foreign syslog parser, rsyslog, and a CEF parser
// written after the standard. It is a module of its own, so that none of them stands in Daybook's own dependencies.
//
// Its tests need Go and, for DuckDB, a C compiler; rsyslog is used where it is installed. What is absent is skipped, and said.
package interop
