package mapping

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
)

// ServiceConfig is what a Service is made of. What is not said to be optional is needed.
type ServiceConfig struct {
	Engine *Engine
	// Verifier verifies the tokens that an explanation is asked for, as it does those of exchanges.
	Verifier exchange.Verifier
	// Client finds a registered client; nil where there is none of that id.
	Client func(id string) *exchange.Client
	// Past finds what was recorded, to explain it; nil where nothing is.
	Past Past
	// Delegation is what holds for exchanges.
	Delegation exchange.Delegation
	Now        func() time.Time // [time.Now]
}

// Service is MappingService: what the policy in force says. It reads, and each of its answers is made of one snapshot.
type Service struct {
	stsv1.UnimplementedMappingServiceServer
	cfg ServiceConfig
	// compiling lets policies of the past be compiled one at a time: a large one is seconds of work.
	compiling sync.Mutex
}

var _ stsv1.MappingServiceServer = (*Service)(nil)

// NewService makes a Service.
func NewService(c ServiceConfig) (*Service, error) {
	for _, need := range []struct {
		name    string
		missing bool
	}{{"Engine", c.Engine == nil}, {"Verifier", c.Verifier == nil}, {"Client", c.Client == nil}} {
		if need.missing {
			return nil, fmt.Errorf("mapping.ServiceConfig.%s is missing", need.name)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{cfg: c}, nil
}

// Register adds the service.
func (s *Service) Register(to grpc.ServiceRegistrar) { stsv1.RegisterMappingServiceServer(to, s) }

// Roles are what its methods need. All of them only read.
func (*Service) Roles() map[string]string {
	roles := map[string]string{}
	for _, m := range stsv1.MappingService_ServiceDesc.Methods {
		roles[m.MethodName] = string(RoleAuditor)
	}
	return roles
}

// Object is what an answer is about, for the record of its use: "" for a list. A name that there is nothing of is not
// recorded, since anything may have been put there.
func (*Service) Object(answer any) string {
	switch a := answer.(type) {
	case *stsv1.GetRuleResponse:
		return a.GetRule().GetId()
	case *stsv1.GetPrincipalResponse:
		return a.GetPrincipal().GetName()
	case *stsv1.GetPolicyVersionResponse:
		return a.GetVersion().GetPolicy()
	case *stsv1.ExplainResponse:
		return a.GetRecorded().GetDecisionId()
	}
	return ""
}

// policy is the snapshot that an answer is made of.
func (s *Service) policy() (*Policy, error) {
	if p := s.cfg.Engine.Policy(); p != nil {
		return p, nil
	}
	return nil, exchange.Refuse(exchange.CodeInternal, exchange.ReasonInternal, "no policy is in force")
}

func malformed(format string, args ...any) *exchange.Error {
	return exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed, format, args...)
}

func notFound(format string, args ...any) *exchange.Error {
	return exchange.Refuse(exchange.CodeNotFound, exchange.ReasonNotFound, format, args...)
}

// GetRule implements stsv1.MappingServiceServer.
func (s *Service) GetRule(_ context.Context, r *stsv1.GetRuleRequest) (*stsv1.GetRuleResponse, error) {
	p, err := s.policy()
	if err != nil {
		return nil, err
	}
	found, ok := find(p.listed, r.GetRule(), ruleID)
	if !ok {
		return nil, notFound("the policy in force has no rule of that id")
	}
	return &stsv1.GetRuleResponse{Policy: p.digest, Rule: p.ruleMessage(found, s.cfg.Now())}, nil
}

// GetPrincipal implements stsv1.MappingServiceServer.
func (s *Service) GetPrincipal(_ context.Context, r *stsv1.GetPrincipalRequest) (*stsv1.GetPrincipalResponse, error) {
	p, err := s.policy()
	if err != nil {
		return nil, err
	}
	found, ok := find(p.existing, r.GetPrincipal(), principalName)
	if !ok {
		return nil, notFound("the policy in force has no principal of that name")
	}
	return &stsv1.GetPrincipalResponse{Policy: p.digest, Principal: p.principalMessage(found)}, nil
}
