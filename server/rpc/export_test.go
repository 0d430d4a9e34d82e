package rpc

// DecodeJSON is what reads the body of a JSON request.
var DecodeJSON = decodeJSON
