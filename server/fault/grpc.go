package fault

import (
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lakegate/sts/exchange"
)

// Domain is the domain of the ErrorInfo of every refusal.
const Domain = "sts.v1"

// rpcError is an error in gRPC's words that still is what it was: in process, where nothing is encoded, the gateway
// finds the core's error in it.
type rpcError struct {
	err    *exchange.Error
	status *status.Status
}

// Error implements error.
func (e *rpcError) Error() string { return e.err.Error() }

// Unwrap gives the core's error.
func (e *rpcError) Unwrap() error { return e.err }

// GRPCStatus is what gRPC answers.
func (e *rpcError) GRPCStatus() *status.Status { return e.status }

// RPC is err as a gRPC handler returns it: the status of the table, google.rpc.ErrorInfo with our domain, the reason,
// and "error" (OAuth's word) and "decision_id" as metadata, and google.rpc.RetryInfo where HTTP has a Retry-After.
func RPC(err error) error {
	e := exchange.AsError(err)
	row, _ := Lookup(e.Code)
	body := NewBody(e)
	info := &errdetails.ErrorInfo{Domain: Domain, Reason: body.Reason, Metadata: map[string]string{"decision_id": body.DecisionID}}
	if body.Error != "" {
		info.Metadata["error"] = body.Error
	}
	details := []protoadapt.MessageV1{info}
	if seconds, wait := RetryAfter(e); wait {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Duration(seconds) * time.Second)})
	}
	s, err := status.New(row.GRPC, body.ErrorDescription).WithDetails(details...)
	if err != nil {
		panic(fmt.Sprintf("encoding strings and a duration: %v", err)) // the messages are always encodable
	}
	return &rpcError{err: e, status: s}
}
