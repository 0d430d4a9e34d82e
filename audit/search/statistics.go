package search

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/exchange"
)

// maxSpan is how long a time statistics may be of.
const maxSpan = 31 * 24 * time.Hour

// GetStatistics implements stsv1.AuditServiceServer.
func (s *Service) GetStatistics(ctx context.Context, r *stsv1.GetStatisticsRequest) (*stsv1.GetStatisticsResponse, error) {
	q, refused := statisticsOf(r)
	if refused != nil {
		return nil, refused
	}
	counts, err := s.cfg.Index.Statistics(ctx, q)
	if err != nil {
		return nil, failed(ctx, err)
	}
	answer := &stsv1.GetStatisticsResponse{Counts: make([]*stsv1.HourCount, len(counts))}
	for i := range counts {
		c := &counts[i]
		answer.Counts[i] = &stsv1.HourCount{
			Hour: timestamppb.New(c.Hour), Principal: c.Principal, Rule: c.Rule, Outcome: c.Outcome,
			Count: int32(min(c.Count, math.MaxInt32)), //nolint:gosec // bounded
		}
	}
	return answer, nil
}

// splits are by what counts may be split.
func splits() []string {
	return []string{string(index.FieldPrincipal), string(index.FieldRule), string(index.FieldOutcome)}
}

func statisticsOf(r *stsv1.GetStatisticsRequest) (q index.StatisticsQuery, err *exchange.Error) {
	q = index.StatisticsQuery{Principal: r.GetPrincipal(), Rule: r.GetRule(), Outcome: r.GetOutcome()}
	if r.GetFrom() == nil || r.GetTo() == nil {
		return q, malformed("send from and to, such as 2026-11-24T10:00:00Z")
	}
	if q.From, err = momentOf("from", r.GetFrom()); err != nil {
		return q, err
	}
	if q.To, err = momentOf("to", r.GetTo()); err != nil {
		return q, err
	}
	switch span := q.To.Sub(q.From); {
	case span <= 0:
		return q, malformed("to is not after from")
	case span > maxSpan:
		return q, malformed("to is more than 31 days after from; ask for less at once")
	}
	if strings.Contains(q.Principal+q.Rule, "\x00") { // PostgreSQL would fail, as if it were out of order
		return q, malformed("principal or rule has a zero byte, which no name has")
	}
	if q.Outcome != "" {
		if err := oneOf(outcomes)("outcome", q.Outcome); err != nil {
			return q, err
		}
	}
	for _, word := range r.GetBy() {
		if err := oneOf(splits)("by", word); err != nil {
			return q, err
		}
		if slices.Contains(q.By, index.Field(word)) {
			return q, malformed("by says %s twice", word)
		}
		q.By = append(q.By, index.Field(word))
	}
	return q, nil
}
