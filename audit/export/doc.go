// Package export brings the records of the audit logs in a directory to where others want them: a file, a program, a URL, an
// OpenTelemetry collector, a Databricks volume. Each record arrives, and arrives once, also where this process or the far
// end is killed in between.
//
// Start at [exporter.pass] in pass.go: for each log a batch is gathered, written down as an intent in the ledger, sent, and
// the log's cursor moved behind it. A crash between any two of these leaves an intent; the next pass makes the very same
// batch of it, with the same id, and the destination is such that to get it twice is to get it once. ADR 14 says why it is
// so; docs/exports.md says what each destination promises.
//
//	config.go       what it is made of
//	exports.go      all exports of a process: run, finish, health
//	pass.go         one export, once through all logs
//	send.go         one batch: intent, send, cursor
//	gather.go       from records to the batch that is due
//	track.go        one log, as far as one export has come with it
//	logs.go         which logs there are, and how far they may be read
//	owner.go        which of them are this process's to export; lock_unix.go  how that is known
//	cursor.go       what the ledger keeps
//	state.go        how an export does: what is told, and how long the next try waits
//	batch.go        a batch, and the id that it has every time
//
// A record is written for the far end by a [Format]:
//
//	format.go       both of them
//	whole.go        a repeat as the exchange that it was
//	places.go       where the exchanges and subjects of a segment stand, which others refer to
//	member.go       JSON objects whose order is kept
//	ocsf.go         records as OCSF events; ocsf_class.go  the classes; ocsf_part.go  their parts
//
// and taken there by a [Destination]:
//
//	destination.go  the port, and the kinds of failure
//	file.go, command.go, url.go, otlp.go, volume.go
//	group_unix.go   how a command ends, with what it started
package export
