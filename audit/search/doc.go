// Package search is AuditService: it answers from audit/index, over gRPC, REST and the command line alike, who became whom,
// by which rule, and what was refused.
//
// Start at [Service] in service.go. Each method checks what it is asked, strictly, since a filter that is not understood
// would hide what it should find; asks the index; and puts records in the words of the API.
//
//	service.go     what it is made of; whom it serves; what its errors are
//	filter.go      the filters of a request, checked, as a query of the index
//	event.go       a record as an event
//	search.go      searching, and one event
//	tail.go        events as they come
//	lookup.go      what became of a token
//	proof.go       receipts and checkpoints
//	statistics.go  counts by the hour
package search
