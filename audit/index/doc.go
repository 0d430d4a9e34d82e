// Package index makes the audit logs of all replicas searchable: one database, SQLite in a file of its own or PostgreSQL
// for many replicas, that any replica reads and each feeds from its own log. The logs are the truth; the index can be made
// anew from them at any time.
//
// Start at [Index.Add], which takes records in, and [Index.Search], which finds them.
//
//	index.go       what the index is, and what it hands out
//	query.go       what can be asked for
//	terms.go       the words under which a record is found
//	id.go          the ids of records, whose order is that of time
package index
