// Package databricks emulates one Databricks workspace as far as the service needs it: it checks what the real one is
// known to check, answers in its formats, and answers 501 to everything else. What is hearsay about the real one is a
// member of [Switches], with the documented behaviour as its zero value.
//
//	databricks.go   Config, Server: routes and state
//	model.go        principals, federation policies, endpoints
//	switches.go     what is known only by hearsay
//	metadata.go     host metadata and OAuth discovery
//	tokens.go       POST /oidc/v1/token: the form, then one file per grant:
//	  secret.go     client_credentials, HTTP Basic, one hour
//	  federation.go token-exchange: an assertion is verified against the principal's federation policies
//	  dataplane.go  jwt-bearer: a token of ours is narrowed to authorization_details
//	details.go      authorization_details (RFC 9396): parsing, covering
//	issuerkeys.go   issuers' keys, fetched over HTTP and kept for 15 minutes
//	issue.go        access tokens: JWTs of realistic length, and the list of those that live
//	serving.go      POST /serving-endpoints/{name}/invocations
//	files.go        the Files API: /api/2.0/fs/…, over volumes
//	errors.go       both error formats
//	control.go      POST /_emulator/{tokens,setup}
//
// The route of the token endpoint is [TokenRoute]; why a call was refused stands in its record's notes under "cause".
package databricks
