package server

import (
	"net/http"
	"strconv"

	"github.com/lakegate/sts/api/openapi"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/fault"
	"github.com/lakegate/sts/server/inbound"
)

const openAPIPath = "/openapi.json"

// openAPI serves the description of the JSON API.
type openAPI struct {
	refuse func(exchange.Failure) *exchange.Error
}

// ServeHTTP implements http.Handler.
func (o openAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		err := exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonMethodNotAllowed, "this document is for reading; use GET")
		fault.Write(w, o.refuse(exchange.Failure{Entrance: entranceHTTP, Source: exchange.Source{Peer: inbound.Peer(r)}, Err: err}))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("Content-Length", strconv.Itoa(len(openapi.Document)))
	_, _ = w.Write(openapi.Document)
}
