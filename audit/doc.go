// Package audit keeps the record: one append-only file set of JSON lines per replica, written before a token leaves, and
// proven.
// What the lines hold, field by field, stands in docs/audit.md.
//
// Start at [Log.Record] in log.go: encode, one write(2), and where somebody is owed it, one fsync that all who wait
// share. What can't be written is refused, and the caller refuses with it.
//
//	config.go    what it is made of
//	log.go       the log: what is written when, what is awaited, how it ends
//	recover.go   how a log that failed comes back by itself, and leaves a record of the gap
//	tick.go      what happens twice a second: disk, summaries, the tree, retention
//	space.go     how much room the disk has, and the alarm that it gets little
//	segment.go   one file: writing, group fsync, giving it up
//	files.go     the directory: names
//	disk.go      what is done to files: the seam where tests put a disk that fails, or that loses power
//	retention.go old segments, and the record that says where they went
//	records.go   each record's fields
//	repeat.go    which exchange is a repeat of which
//	encoder.go   JSON by hand, into one reused buffer
//	failures.go  failures from before client authentication, summed up per source and second
//	read.go      reading a log back, strictly
//
// # How it is proven
//
// Each line is a leaf of a Merkle tree. [Log.write] hashes it as it is written; what is on disk goes to the notary, which folds
// it in, saves the hashes beside the segment, and signs a checkpoint a second ([Log.tick]). ADR 10 says why it is so.
//
//	tree.go      hashes, and compact ranges of them
//	leaves.go    from the line that is written to the leaf that is on disk; what becomes of those that never get there
//	notary.go    the tree of a log, its checkpoints, its seals; word.go  word of logs that were given up
//	resume.go    what a start finds: the log that its checkpoint is of, or another (ADR 11)
//	key.go       the key that signs; checkpoint.go  what it signs
//	side.go      the files beside the segments; scan.go  the lines of a segment
//	witness.go   how checkpoints leave the host; witness_ledger.go, witness_outside.go  where to
//	retire.go    the word that a log is gone for good, so that it is not missed
//	chain.go     a log as its files are: roots and proofs out of them
//	receipt.go   a record's proof for whoever has the key
//	verify.go    all logs of a directory, against all checkpoints; walk.go  one log; hold.go  one segment;
//	             locate.go  which of its records is wrong
//	logs.go      which logs there are
//	follow.go    a log as a reader of it goes along, with hashes and checkpoints
//
// # What is never true
//
// A token that left without its record. The other way round can be: a record may tell of a grant that its caller
// never got, because the disk failed after the line was written, or the caller hung up.
//
// A checkpoint of what is not on disk, or one that an earlier one of its origin contradicts.
package audit
