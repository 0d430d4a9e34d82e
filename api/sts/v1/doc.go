// Package stsv1 is the API in Go: messages, gRPC client and server, and the gateway that serves the same as JSON.
//
// Everything here but this file is generated from proto/sts/v1 by "make generate" and checked by "make generated":
// token.pb.go holds the messages, token_grpc.pb.go the service, token.pb.gw.go its REST routes, which proto/rest.yaml
// names. The same API as an OpenAPI document is api/openapi/sts.swagger.json.
//
// Fields that hold a credential are marked debug_redact in the source. The Go runtime does not honour the mark, so a
// message must not be printed or logged.
package stsv1
