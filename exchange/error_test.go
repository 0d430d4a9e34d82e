package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
)

func TestAsError(t *testing.T) {
	ours := exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonRevoked, "no")
	for _, tc := range []struct {
		name string
		err  error
		code exchange.Code
	}{
		{"ours, wrapped", fmt.Errorf("doing: %w", ours), exchange.CodeNotGranted},
		{"a foreign one is internal", errors.New("disk on fire"), exchange.CodeInternal},
		{"a passed deadline", fmt.Errorf("minting: %w", context.DeadlineExceeded), exchange.CodeDeadline},
		{"a caller that left", context.Canceled, exchange.CodeDeadline},
	} {
		if got := exchange.AsError(tc.err); got.Code != tc.code {
			t.Errorf("%s: got %v", tc.name, got)
		}
	}
	if exchange.AsError(nil) != nil {
		t.Error("nil became an error")
	}
	var plain *exchange.Error
	if errors.As(errors.New("plain"), &plain) {
		t.Error("a plain error matches *exchange.Error")
	}
}

func TestErrorCopies(t *testing.T) {
	root := errors.New("root")
	first := exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable, "later")
	second := first.Because(root).After(time.Minute)
	if first.Cause != nil || first.RetryAfter != 0 || second.RetryAfter != time.Minute || !errors.Is(second, root) {
		t.Errorf("got %+v and %+v", first, second)
	}
}
