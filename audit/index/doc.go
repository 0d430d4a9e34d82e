// Package index makes the audit logs of all replicas searchable: one database, SQLite in a file of its own or PostgreSQL
// for many replicas, that any replica reads and each feeds from its own log. The logs are the truth; the index can be made
// anew from them at any time.
//
// Start at [Feeder.Run], which follows the logs of a directory, and [Index.Add], which takes their records in: each once,
// however often it comes, some thousand by one transaction. ADR 13 says why the tables are as they are. Then
// [Index.Search], which finds them.
//
//	index.go       what the index is made of; it is opened when it is first needed
//	database.go    SQLite and PostgreSQL: many read, one writes
//	schema.go      the tables, and what to grant who lacks a right
//	partition.go   two tables for some events: where new ones go, and how old ones end
//	origin.go      how far the index has come with a log
//
// The way in:
//
//	feed.go        what is due of all logs, over outages; feed_log.go  one log; shelf.go  which logs there are
//	add.go         a batch, in one transaction
//	prepare.go     what a record is found and counted by; a repeat as its exchange
//	terms.go       the words under which a record is found
//	insert.go      rows in bulk; hours.go  counts by the hour
//	tiles.go       the logs' trees; receipt.go  proofs out of them
//	retention.go   old partitions, and the tiles that nobody needs any more
//	reindex.go     all of it anew, without what only the index has being lost
//
// The way out:
//
//	reading.go     what is answered; query.go  what can be asked for
//	id.go          the ids of records, whose order is that of time
//	search.go      a page: a merge of partitions; source.go  one of them, driven by the rarest term
//	cursor.go      where the next page begins; look.go  one moment of the database, and the plan that it must take
//	events.go      from rows to events, repeats made whole
//	tail.go        events as they come, log by log; tail_cursor.go  how far each was read
//	token.go       what became of a token; statistics.go  counts
package index
