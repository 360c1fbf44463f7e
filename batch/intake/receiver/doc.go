// Package receiver takes events in over HTTP: it is the handler of POST /v1/events.
//
// What it guarantees: an event that is counted as accepted or duplicate in any answer is on stable storage, whatever the answer's code is. Every record that
// is read ends in exactly one of the counts accepted, duplicate, not_tracked and rejected_total. A connection that breaks takes nothing back: what was read
// before is committed all the same. Memory for a request is bounded by Options.ChunkBytes and the limit on a record's length, not by the body, but for some
// 32 bytes for each event without an id, and for the receipts that were asked for. No secret and no part of an event is logged.
//
// What it does not: whoever got no answer does not know what was taken, and is to send the whole body again. What was taken is then a duplicate, be it by
// the events' own ids, or, for events without one, by their content and place among equals in the body. So an unanswered body MUST be sent again as it was,
// and not in other pieces, unless its events have ids.
//
// # Request
//
// The body is lines of JSON (NDJSON), a JSON array, or one object, of Daybook's own events; or what ?format= names: jsonl, cloudtrail, or auto, which tells
// by the content. It may be compressed with gzip or zstd (of a window of at most 8 MiB, RFC 9659), whether Content-Encoding says so or not.
//
//	Authorization: Bearer <token>     or a client certificate that the TLS server has verified
//	Content-Encoding: gzip            or zstd
//	Daybook-Watermark: <RFC 3339>     the sender has sent all of its events up to then; with an empty body, a heartbeat
//	Daybook-Receipt: true             or ?receipt=true: a signed receipt for each event (package batch/receipt)
//	Idempotency-Key: <1 to 255 visible ASCII characters>
//
// Org and source are those of the credential. A record that names others is taken all the same, and flagged.
//
// # Answer
//
// Answer, as JSON. The codes:
//
//	200  every record was taken or put into quarantine, and is on stable storage. Some may be among the rejected
//	400  the request, or its body, can't be read; line says where. Or none of its records can
//	401  no credential, or one that is not known
//	403  a credential that is expired, was revoked, or may not send events
//	405  not POST
//	408  the body stopped coming for Options.BodyTimeout
//	409  a request with this Idempotency-Key is being processed
//	413  the body is larger than Options.MaxBody or Options.MaxContent, or each of its records is longer than the limit
//	415  an encoding, a format or a kind of file that is not read
//	422  this Idempotency-Key was used with another body, or with other parameters
//	429  too many requests at work, or too many events from this sender
//	500  something broke; the log says what
//	503  nothing can be taken in for the time being
//	507  the disk is full
//
// 409, 429, 503 and 507 bear Retry-After.
//
// # Idempotency-Key
//
// Within Options.ReplayFor the same key of the same sender, with the same body (bytes as they were sent) and parameters, gives the same answer, and
// Idempotency-Replayed: true. Only what is final is remembered: 200, 400, 413 and 415, for a body that was read to its end. Keys are remembered in memory, up to
// a number and a size: after a restart, or past them, a request is done again, and the ids of its events do the work of the key.
package receiver
