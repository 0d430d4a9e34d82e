package rpc

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/fault"
	"github.com/lakegate/sts/server/inbound"
)

// BearerConfig says who may use the services beside TokenService: whoever presents an access token of an identity
// provider (RFC 6750) whose subject has the role that the method takes. All of it is needed.
type BearerConfig struct {
	// Verifier verifies their tokens.
	Verifier exchange.Verifier
	// Holds reports whether policy, as it is now, lets a subject do what a role may.
	Holds func(subject *exchange.Identity, role string, now time.Time) bool
	// Limits are asked before a token is looked at, which is work.
	Limits Limits
	// Recorder keeps the record of each use, which is written before its answer.
	Recorder exchange.Recorder
	// Observe counts an answer; err is nil where it was what was asked for.
	Observe func(action string, err *exchange.Error)
	// Resource tells where the resource's metadata stand.
	Resource Resource
	Random   io.Reader
}

// Limits are what of exchange.Gate concerns bearers. They have no client; to count by, one without a name stands in.
type Limits interface {
	Enter(c *exchange.Client, from exchange.Source) error
	Penalize(c *exchange.Client, from exchange.Source)
}

func (c *BearerConfig) missing() string {
	for _, need := range []struct {
		name    string
		missing bool
	}{
		{"Verifier", c.Verifier == nil}, {"Holds", c.Holds == nil}, {"Limits", c.Limits == nil}, {"Recorder", c.Recorder == nil},
		{"Observe", c.Observe == nil}, {"Resource", c.Resource == (Resource{})}, {"Random", c.Random == nil},
	} {
		if need.missing {
			return "rpc.BearerConfig." + need.name
		}
	}
	return ""
}

// bearerRate and bearerBurst are how many requests a second all bearers together may make, and how many at once. They are
// people and the programs that audit: whoever makes more would fill the log with records, since each use is one, and take
// from the limit that clients share.
const bearerRate, bearerBurst = 100, 200

// bearers lets bearers in to one service. Nobody gets by it: a method that the service's Roles don't have is refused.
type bearers struct {
	BearerConfig
	service  *Service
	to       grpc.ServiceRegistrar
	refusals *refusals
	lasting  *lastings
	callTime time.Duration
	log      *slog.Logger
}

// RegisterService implements grpc.ServiceRegistrar.
func (b *bearers) RegisterService(desc *grpc.ServiceDesc, implementation any) {
	b.to.RegisterService(wrap(desc, b.unary, b.stream), implementation)
}

// unary asks who calls once the message is there: whether a request is in good order comes first, whichever way it came.
func (b *bearers) unary(method string, next unaryHandler) unaryHandler {
	return func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		return next(srv, ctx, decode, func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			var answer any
			_, err := b.serve(ctx, method, func(use *exchange.Admin) (err error) {
				if answer, err = handle(ctx, request); err == nil && b.service.Object != nil {
					use.Object = b.service.Object(answer)
				}
				return err
			})
			if err != nil {
				return nil, err
			}
			return answer, nil
		})
	}
}

// stream records a use when it begins, before its first message goes out; what comes after that is the same use. Whether
// it may go on is asked again and again.
func (b *bearers) stream(method string, next grpc.StreamHandler) grpc.StreamHandler {
	return func(srv any, s grpc.ServerStream) error {
		ctx := s.Context()
		var l *lasting
		var who *exchange.Identity
		id, err := b.serve(ctx, method, func(use *exchange.Admin) error {
			leave, refused := b.lasting.enter()
			if refused != nil {
				return refused
			}
			who = use.By.Bearer
			if l, refused = b.begin(s, func(s grpc.ServerStream) error { return next(srv, s) }, leave); refused != nil {
				return refused
			}
			return nil
		})
		if err != nil {
			if l != nil {
				l.cancel()
			}
			return err
		}
		ended := b.attend(l, callerOf(ctx), func(ctx context.Context) *exchange.Error { return b.still(ctx, method, who) })
		if ended == nil {
			return nil
		}
		named := *ended
		named.DecisionID = id // of the use that ended so
		if named.Code == exchange.CodeInternal || named.Code == exchange.CodeUnavailable && named.Cause != nil {
			b.log.ErrorContext(ctx, actionOf(method)+" ended", "decision_id", id, "reason", string(named.Reason), "error", ended)
		}
		return &named
	}
}

// still asks whether a use that lasts may go on. The token was taken when it began; what is asked now is whether it would
// still be good, so that one for single use is.
func (b *bearers) still(ctx context.Context, method string, who *exchange.Identity) *exchange.Error {
	now := b.refusals.now()
	if !now.Before(who.Expiry) && !who.Expiry.IsZero() {
		return exchange.Refuse(exchange.CodeInvalidToken, exchange.ReasonAccessTokenInvalid,
			"the bearer token has expired; get a fresh one, and call again with the last cursor")
	}
	token, _ := bearerToken(callerOf(ctx).credentials.Authorization)
	if _, err := b.verify(ctx, token, exchange.UseExplain); err != nil {
		refused := exchange.AsError(err)
		if refused.Code == exchange.CodeInvalidRequest {
			return exchange.Refuse(exchange.CodeInvalidToken, exchange.ReasonAccessTokenInvalid,
				"the bearer token is no longer good; get a fresh one, and call again with the last cursor")
		}
		return refused
	}
	return b.allowed(method, who, now)
}

// serve is the whole way of a use: who asks, may he, do it, record it. It returns its record's id, which its error names,
// too.
func (b *bearers) serve(ctx context.Context, method string, do func(use *exchange.Admin) error) (id string, err error) {
	c, action := callerOf(ctx), actionOf(method)
	who, refused := b.authenticate(ctx, c)
	if refused != nil {
		return "", b.refuse(ctx, c, action, b.refusals.refuse(c, refused))
	}
	use := &exchange.Admin{
		Action: action,
		By:     &exchange.Caller{Entrance: c.entrance, Source: exchange.Source{Peer: c.peer}, Bearer: who},
	}
	now := b.refusals.now()
	if use.Err = b.allowed(method, who, now); use.Err == nil {
		use.Err = b.attempt(use, do)
	}
	return b.record(ctx, c, use, now)
}

// allowed refuses whoever has not the role that a method takes.
func (b *bearers) allowed(method string, who *exchange.Identity, now time.Time) *exchange.Error {
	role := b.service.Roles[method[strings.LastIndexByte(method, '/')+1:]]
	if role == "" || !b.Holds(who, role, now) {
		return exchange.Refuse(exchange.CodeInsufficientScope, exchange.ReasonRoleMissing,
			"the token is good, and its subject may not do this; the policy's access must give it the role %s", orNobodys(role))
	}
	return nil
}

func orNobodys(role string) string {
	if role == "" {
		return "that nobody has" // our own mistake, and nothing is lost by it
	}
	return role
}

// attempt does what was asked. A panic is a failure like any.
func (b *bearers) attempt(use *exchange.Admin, do func(use *exchange.Admin) error) (err *exchange.Error) {
	defer func() {
		if p := recover(); p != nil {
			err = exchange.AsError(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return exchange.AsError(do(use))
}

// authenticate proves whom the bearer token speaks of.
func (b *bearers) authenticate(ctx context.Context, c *caller) (*exchange.Identity, *exchange.Error) {
	if c.doubled {
		return nil, inbound.Malformed("there is more than one authorization; send one")
	}
	token, ok := bearerToken(c.credentials.Authorization)
	if !ok {
		return nil, exchange.Refuse(exchange.CodeTokenMissing, exchange.ReasonAccessTokenInvalid,
			"send an access token of an identity provider, as authorization: Bearer")
	}
	nobody, from := &exchange.Client{Rate: bearerRate, Burst: bearerBurst}, exchange.Source{Peer: c.peer}
	if err := b.Limits.Enter(nobody, from); err != nil {
		return nil, limited(exchange.AsError(err))
	}
	who, err := b.verify(ctx, token, exchange.UseBearer)
	if err == nil {
		return who, nil
	}
	refused := exchange.AsError(err)
	if refused.Code == exchange.CodeInvalidRequest {
		b.Limits.Penalize(nobody, from)
		refused = exchange.Refuse(exchange.CodeInvalidToken, exchange.ReasonAccessTokenInvalid, "%s", refused.Message)
	}
	return nil, refused
}

// limited puts a limit of clients in words for bearers.
func limited(err *exchange.Error) *exchange.Error {
	if err.Code != exchange.CodeRateLimited {
		return err
	}
	return exchange.Refuse(err.Code, err.Reason,
		"too many bad tokens came from this address, or too many requests of this API at once; ask again when the time to wait is over").After(err.RetryAfter)
}

// verify takes access tokens; an ID token is for its client's eyes. Where a provider's access tokens carry no mark, and so
// are configured as plain JWTs, they are taken as those.
func (b *bearers) verify(ctx context.Context, token exchange.Secret, use exchange.Use) (*exchange.Identity, error) {
	who, err := b.Verifier.Verify(ctx, exchange.Presented{Token: token, Type: exchange.TypeAccessToken}, use)
	if err != nil && exchange.AsError(err).Reason == exchange.ReasonTokenTypeUnsupported {
		who, err = b.Verifier.Verify(ctx, exchange.Presented{Token: token, Type: exchange.TypeJWT}, use)
	}
	if err == nil && len(who.Actors) > 0 {
		return nil, inbound.Malformed("the bearer token says that somebody acts for its subject (act), and nobody may for a role of this API; call with a token of the subject's own")
	}
	return who, err
}

// bearerToken takes the token out of an authorization (RFC 6750 §2.1); the name of the scheme has no letter case (RFC
// 9110 §11.1).
func bearerToken(authorization exchange.Secret) (exchange.Secret, bool) {
	scheme, token, _ := strings.Cut(authorization.Reveal(), " ")
	token = strings.TrimSpace(token)
	return exchange.Secret(token), strings.EqualFold(scheme, "Bearer") && token != ""
}

// record writes the use down before anybody learns what came of it. What can't be recorded isn't answered.
func (b *bearers) record(ctx context.Context, c *caller, use *exchange.Admin, now time.Time) (id string, err error) {
	id, err = exchange.NewID(now, b.Random)
	if err != nil {
		return "", b.refuse(ctx, c, use.Action, b.refusals.refuse(c, exchange.AsError(err)))
	}
	failed := use.Err
	// The record is owed whether or not the caller still waits.
	if err := b.Recorder.Record(context.WithoutCancel(ctx), &exchange.Event{ID: id, Time: now, Admin: use}); err != nil {
		b.log.ErrorContext(ctx, "the audit log did not accept a record; the request is not answered", "decision_id", id, "error", err)
		failed = exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonAuditUnavailable,
			"the audit log can't be written, so there is no answer; ask again shortly").After(time.Second)
	} else if failed != nil && use.Outcome() == exchange.OutcomeFailed && failed.Code != exchange.CodeDeadline {
		b.log.ErrorContext(ctx, use.Action+" failed", "decision_id", id, "reason", string(failed.Reason), "error", failed)
	}
	if failed == nil {
		inbound.Describe(ctx, id, nil)
		b.Observe(use.Action, nil)
		return id, nil
	}
	named := *failed
	named.DecisionID = id
	return id, b.refuse(ctx, c, use.Action, &named)
}

// refuse counts a refusal that has its record, and challenges the bearer.
func (b *bearers) refuse(ctx context.Context, c *caller, action string, err *exchange.Error) error {
	inbound.Describe(ctx, err.DecisionID, err)
	b.Observe(action, err)
	challenge := fault.Challenge(err, b.Resource.Metadata)
	switch {
	case challenge == "":
	case c.entrance == EntranceJSON:
		c.challenge = challenge
	default:
		// That it can't be set any more can't be: nothing is answered before this.
		_ = grpc.SetHeader(ctx, metadata.Pairs("www-authenticate", challenge))
	}
	return err
}

// actionOf is what a use is recorded as: "mapping.list_rules" for /sts.v1.MappingService/ListRules.
func actionOf(method string) string {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	service = strings.TrimSuffix(service[strings.LastIndexByte(service, '.')+1:], "Service")
	var b strings.Builder
	for i, r := range service + "." + name {
		if r >= 'A' && r <= 'Z' {
			if i > 0 && b.String()[b.Len()-1] != '.' {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
