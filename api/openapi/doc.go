// Package openapi holds the OpenAPI document of the JSON API. "make generate" makes it of proto/sts/v1 and
// proto/rest.yaml.
package openapi

import _ "embed"

// Document is the document as JSON (OpenAPI 2.0).
//
//go:embed sts.swagger.json
var Document []byte
