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

// openAPI is the description of the JSON API.
func openAPI(refuse func(exchange.Failure) *exchange.Error) document {
	return document{refuse: refuse, body: func() []byte { return openapi.Document }}
}

// document is a public JSON document, which may be kept for five minutes.
type document struct {
	body   func() []byte
	refuse func(exchange.Failure) *exchange.Error
}

// ServeHTTP implements http.Handler.
func (d document) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		err := exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonMethodNotAllowed, "this document is for reading; use GET")
		fault.Write(w, d.refuse(exchange.Failure{Entrance: entranceHTTP, Source: exchange.Source{Peer: inbound.Peer(r)}, Err: err}))
		return
	}
	body := d.body()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}
