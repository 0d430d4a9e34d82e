// Package aws proves who signed a GetCallerIdentity request: it is the exchange.Verifier for AWS IAM roles and users
// (urn:ietf:params:aws:token-type:aws4_request). A workload signs a request to AWS STS with the credentials that its host
// gives it and sends it here instead; we send it on, and AWS says whose it is. No key of AWS and no key of ours is needed.
//
// Start at [Verifier.Verify] in verify.go. The token is read strictly into the few parts that such a request has; what is
// sent to AWS is written anew from those parts, byte by byte, and nothing of the token's own text is ever passed on. So AWS
// can't read a request in another way than we did, and nothing in a token makes us dial a host that isn't configured.
//
//	config.go   Config, Provider, and what is refused in them
//	region.go   which host belongs to a region, and which partition
//	token.go    the token's text, percent-encoded or plain JSON -> method, URL, headers
//	url.go      the URL: host, query, each parameter once and by its exact name
//	request.go  Parse: the whole of a token -> Request; the signature covers all that it has
//	verify.go   the way of one token: for us, of this time, from an account of ours, never used before
//	call.go     Request -> the call to AWS, and what its answer means
//	arn.go      whom the ARN names: the role without the session, or the user
//	examine.go  what `sts doctor` sees of it
//	pool.go     Verifier: New, Prepare and Commit (a reload), Health
//	metrics.go  what is counted
//
// Nothing is cached: a token is accepted once, by its signature, on all replicas.
package aws
