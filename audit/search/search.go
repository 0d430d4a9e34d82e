package search

import (
	"context"
	"errors"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/exchange"
)

// SearchEvents implements stsv1.AuditServiceServer.
func (s *Service) SearchEvents(ctx context.Context, r *stsv1.SearchEventsRequest) (*stsv1.SearchEventsResponse, error) {
	q, refused := queryOf(r)
	if refused != nil {
		return nil, refused
	}
	page, err := s.cfg.Index.Search(ctx, q)
	if errors.Is(err, index.ErrCursor) {
		return nil, malformed("page_token is none that was given out for these filters; send the same ones, or begin the search again without it")
	}
	if err != nil {
		return nil, failed(ctx, err)
	}
	answer := &stsv1.SearchEventsResponse{NextPageToken: page.Next}
	answer.Events, err = eventMessages(page.Events)
	return answer, err
}

func queryOf(r *stsv1.SearchEventsRequest) (q index.Query, err *exchange.Error) {
	q = index.Query{ID: r.GetDecisionId(), Page: r.GetPageToken()}
	if q.PageSize, err = pageSize(r.GetPageSize()); err != nil {
		return q, err
	}
	if q.From, err = momentOf("from", r.GetFrom()); err != nil {
		return q, err
	}
	if q.To, err = momentOf("to", r.GetTo()); err != nil {
		return q, err
	}
	if r.GetFrom() != nil && r.GetTo() != nil && !q.From.Before(q.To) {
		return q, malformed("to is not after from; it is the first moment that is not wanted")
	}
	q.Terms, err = termsOf(r)
	return q, err
}

// GetEvent implements stsv1.AuditServiceServer.
func (s *Service) GetEvent(ctx context.Context, r *stsv1.GetEventRequest) (*stsv1.GetEventResponse, error) {
	if err := checkID("id", r.GetId()); err != nil {
		return nil, err
	}
	found, err := s.Recall(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	answer := &stsv1.GetEventResponse{}
	for _, part := range []struct {
		of   *index.Event
		into **stsv1.Event
	}{{found.Event, &answer.Event}, {found.Subject, &answer.Subject}, {found.Actor, &answer.Actor}} {
		if part.of == nil {
			continue
		}
		if *part.into, err = eventMessage(part.of); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// Recalled is an event, with the subject events beside it: nil where there are none, or they are past their retention.
type Recalled struct {
	Event          *index.Event
	Subject, Actor *index.Event
}

// Recall finds an event by its id, as GetEvent does. Its errors are those that GetEvent has.
func (s *Service) Recall(ctx context.Context, id string) (r Recalled, err error) {
	if r.Event, err = s.cfg.Index.Find(ctx, id); err != nil {
		return r, failed(ctx, err)
	}
	x := r.Event.Exchange
	if x == nil {
		return r, nil
	}
	if r.Subject, err = s.beside(ctx, x.Subject); err == nil && len(x.Actors) > 0 {
		r.Actor, err = s.beside(ctx, &x.Actors[0])
	}
	return r, err
}

// beside is the subject event that a reference refers to.
func (s *Service) beside(ctx context.Context, to *audit.Reference) (*index.Event, error) {
	if to == nil || to.ID == "" {
		return nil, nil
	}
	switch e, err := s.cfg.Index.Find(ctx, to.ID); {
	case errors.Is(err, index.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, failed(ctx, err)
	default:
		return e, nil
	}
}
