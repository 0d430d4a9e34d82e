// Package awssts emulates AWS STS as far as GetCallerIdentity goes: it knows access keys and their secrets, really verifies
// the signature of each request (SigV4, in a header or in the query), holds it to AWS's times, and answers as AWS does, in
// JSON or XML, its errors included. What signs is AWS's own library; what verifies is written here from AWS's specification,
// so that the two check each other and whatever stands between them.
//
//	awssts.go  Server: regions, the one route, the checks in AWS's order
//	keys.go    access keys of roles, users and others
//	sigv4.go   the signature, from the request as it arrived
//	answer.go  answers and errors, in JSON and XML
//	draft.go   a request that is signed and not sent: a subject token, and what can be done to it
//	attack.go  tokens that must be refused, each with its twin
package awssts
