// Package audit keeps the record: one append-only file set of JSON lines per replica, written before a token leaves.
// What the lines hold, field by field, stands in docs/audit.md.
//
// Start at [Log.Record] in log.go: encode, one write(2), and where somebody is owed it, one fsync that all who wait
// share. What can't be written is refused, and the caller refuses with it.
//
//	log.go       the log: what is written when, what is awaited, how it ends
//	recover.go   how a log that failed comes back by itself, and leaves a record of the gap
//	tick.go      what happens twice a second: disk, summaries, retention
//	segment.go   one file: writing, group fsync, giving it up
//	files.go     the directory: names, torn tails, old segments
//	records.go   each record's fields
//	encoder.go   JSON by hand, into one reused buffer
//	failures.go  failures from before client authentication, summed up per source and second
//	recent.go    a bounded memory
//	read.go      reading a log back, strictly
//
// # What is never true
//
// A token that left without its record. The other way round can be: a record may tell of a grant that its caller
// never got, because the disk failed after the line was written, or the caller hung up.
//
// # Where the Merkle tree goes
//
// Every byte enters the log in Log.write, in order and under one mutex, as whole lines. A leaf hash per line is taken
// there; Log.tick, which runs twice a second, is where leaves are folded and a checkpoint is signed, after the fsync
// that makes them durable. Repeats that are written compactly replace a call of encoder.exchange in Log.encode.
package audit
