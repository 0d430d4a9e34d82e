package search

import (
	"errors"
	"time"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit/index"

	"google.golang.org/grpc"
)

// TailEvents implements stsv1.AuditServiceServer. The first message goes out at once, so that its caller knows that he
// listens; whoever sees to the stream ends it by its context.
func (s *Service) TailEvents(r *stsv1.TailEventsRequest, to grpc.ServerStreamingServer[stsv1.TailEventsResponse]) error {
	terms, refused := termsOf(r)
	if refused != nil {
		return refused
	}
	q := index.Query{ID: r.GetDecisionId(), Terms: terms}
	var quiet time.Time // since when nothing was sent; zero before the first
	for step, err := range s.cfg.Index.Tail(to.Context(), q, r.GetCursor()) {
		if errors.Is(err, index.ErrCursor) {
			return malformed("cursor is none that was given out here; begin the tail again without it")
		}
		if err != nil {
			return failed(to.Context(), err)
		}
		now := s.cfg.Now()
		if step.Event == nil && !quiet.IsZero() && now.Sub(quiet) < s.cfg.SignOfLife && !now.Before(quiet) {
			continue
		}
		answer := &stsv1.TailEventsResponse{Cursor: step.Cursor}
		if step.Event != nil {
			if answer.Event, err = eventMessage(step.Event); err != nil {
				return err
			}
		}
		if err := to.Send(answer); err != nil {
			return err
		}
		quiet = now
	}
	return to.Context().Err()
}
