package saml_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/saml"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/samlidp"
)

// TestFewWaitForHangingMetadata holds that a provider whose metadata hangs takes few of the places that all share.
func TestFewWaitForHangingMetadata(t *testing.T) {
	w := newWorld(t)
	const most = 256
	release := w.idp.AddFault(emulator.Fault{Route: samlidp.MetadataRoute, Hold: true})
	pool, err := saml.New(saml.Config{
		Providers: []saml.Provider{w.provider()}, Once: w.marks, Now: w.clock.Now, Log: slog.New(slog.DiscardHandler), MaxWait: time.Hour, FetchTimeout: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	presented := exchange.Presented{Token: exchange.Secret(w.idp.Token(samlidp.Assertion{})), Type: exchange.TypeSAML2}
	ctx, leave := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range most {
		waiting.Go(func() { _, _ = pool.Verify(ctx, presented, exchange.UseSubject) })
	}
	for end := time.Now().Add(30 * time.Second); pool.Waiting() < most; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d wait", pool.Waiting())
		}
	}
	_, err = pool.Verify(t.Context(), presented, exchange.UseSubject) // comes back while the others wait
	wantReason(t, "one too many", err, unavailable)
	leave()
	waiting.Wait()
	if n := pool.Waiting(); n != 0 {
		t.Errorf("%d wait after all have left", n)
	}
	release()
}
