package search

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/exchange"
)

// Index is what is asked: the index of all logs.
type Index interface {
	index.Reading
	Proofs
}

// Proofs is what the index answers about its logs themselves.
type Proofs interface {
	// Receipt returns the proof of an event. [index.ErrNotFound] where there is none of that id, [index.ErrUncovered] where
	// no checkpoint covers it yet.
	Receipt(ctx context.Context, id string) (*audit.Receipt, error)
	// Checkpoints returns the newest of each log, sorted by the names of the logs.
	Checkpoints(ctx context.Context) ([]audit.Checkpoint, error)
}

// Config is what a Service is made of.
type Config struct {
	// Index is needed.
	Index Index
	Now   func() time.Time // [time.Now]
	// SignOfLife is how often a tail without events sends a message all the same; 0 means 10 s.
	SignOfLife time.Duration
}

// Service is AuditService.
type Service struct {
	stsv1.UnimplementedAuditServiceServer
	cfg Config
}

var (
	_ stsv1.AuditServiceServer = (*Service)(nil)
	_ Index                    = (*index.Index)(nil)
)

// signOfLife is less than the time after which proxies hang up on a stream in which nothing comes (60 s, mostly).
const signOfLife = 10 * time.Second

// New makes a Service.
func New(c Config) (*Service, error) {
	if c.Index == nil {
		return nil, errors.New("search.Config.Index is missing")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.SignOfLife == 0 {
		c.SignOfLife = signOfLife
	}
	return &Service{cfg: c}, nil
}

// Register adds the service.
func (s *Service) Register(to grpc.ServiceRegistrar) { stsv1.RegisterAuditServiceServer(to, s) }

// role is what all methods take: all of them only read. It is one of the policy's roles (mapping.RoleAuditor).
const role = "auditor"

// Roles are what its methods need.
func (*Service) Roles() map[string]string {
	roles := map[string]string{}
	for _, m := range stsv1.AuditService_ServiceDesc.Methods {
		roles[m.MethodName] = role
	}
	for _, s := range stsv1.AuditService_ServiceDesc.Streams {
		roles[s.StreamName] = role
	}
	return roles
}

// Object is what an answer is about, for the record of its use: an event's id, a token's hash, "" for a list. What there
// is nothing of is not recorded, since anything may have been put there; but of a token that isn't known its hash is, so
// that one can tell afterwards that it had been asked for.
func (*Service) Object(answer any) string {
	switch a := answer.(type) {
	case *stsv1.GetEventResponse:
		return a.GetEvent().GetId()
	case *stsv1.GetReceiptResponse:
		return a.GetId()
	case *stsv1.LookupTokenResponse:
		return a.GetTokenSha256()
	}
	return ""
}

func malformed(format string, args ...any) *exchange.Error {
	return exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed, format, args...)
}

// failed puts an error of the index in words. Whatever isn't the caller's is the index's, and says no more of the service
// than that: exchanges don't need it.
func failed(ctx context.Context, err error) error {
	var ours *exchange.Error
	switch {
	case ctx.Err() != nil: // a database may call it an interruption
		return ctx.Err()
	case errors.As(err, &ours), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, index.ErrNotFound):
		return exchange.Refuse(exchange.CodeNotFound, exchange.ReasonNotFound,
			"there is no event of that id: it never was, is past its retention, or has come within the last moments and is found shortly")
	case errors.Is(err, index.ErrUncovered):
		return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonAuditUnavailable,
			"the event has just come, and no checkpoint covers it yet; ask again in a moment").After(time.Second)
	}
	return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable,
		"the index of the audit log can't be asked now; exchanges go on and are recorded, and are found here as soon as it is back").
		After(time.Second).Because(fmt.Errorf("asking the audit index: %w", err))
}
