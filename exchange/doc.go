// Package exchange is the core of the token service: the words that every other package speaks, and the one function
// that turns a verified identity into a bounded Databricks token.
//
// Start at [Service.Exchange] in service.go. It is the whole way of a request on one screen: enter, verify, decide,
// admit, obtain, record. What each step needs from the outside stands as a small interface in ports.go, with its
// contract in the comment; the packages that implement them import this one, and this one imports none of ours.
//
//	params.go    what an entrance decoded, and the one parser that makes a Request of it
//	request.go   the client, the source and the request, in typed values
//	identity.go  who the subject and the actor are, once verified
//	delegation.go  who acts for the subject, and whether he may
//	decision.go  what policy said: a Grant or a denial
//	token.go     what was obtained, and what bounds it
//	attempt.go   everything known of one exchange; its record is made from it
//	event.go     what is recorded
//	judge.go     what would become of an attempt, for those who explain
//	inquiry.go   what was handed out: the ports, and the way of a request about it; introspect.go tells, or ends it
//	error.go     one error type; codes, and the closed list of reasons, which reasons.go lists
//	secret.go    text that never prints itself
package exchange
