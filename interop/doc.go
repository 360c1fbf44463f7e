// Package interop holds Daybook's files against other people's programs: DuckDB, arrow-go, a foreign syslog parser, rsyslog, and a CEF parser
// written after the standard; its seals, log and anchors against transparency-dev's libraries, Tessera, litewitness, OpenSSL and jq; the statements for query engines against grammars of their languages. It is a module of its
// own, so that none of them stands in Daybook's own dependencies.
//
// Foreign programs that are written in Go, and drag in more than a library may, are modules of their own below foreign/: the tests build them and run them.
//
// Its tests need Go and, for DuckDB, a C compiler; rsyslog, openssl, jq and Node.js are used where they are installed. What is absent is skipped, and said.
package interop
