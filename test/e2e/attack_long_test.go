//go:build long

package e2e_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"testing"
	"time"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
)

// hanging is a message that is announced, and ends a byte early: whoever reads it waits.
func hanging(ctx context.Context, size int) io.Reader {
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(size))
	end, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = w.Close() })
	return io.MultiReader(bytes.NewReader(frame), bytes.NewReader(make([]byte, size-1)), end)
}

// TestLong_MemoryUnderAttack holds that callers without any credential can't take more memory than there is, however
// many calls they begin: as many short messages as there is room for, long ones beside them, and messages of parts that
// are a hundred times larger in memory.
func TestLong_MemoryUnderAttack(t *testing.T) {
	w := newWorld(t)
	ctx, end := context.WithTimeout(t.Context(), 20*time.Second)
	defer end()
	call := func(over *http.Transport, method string, body io.Reader) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.sts.grpc+method, body)
		if err != nil {
			t.Error(err)
			return
		}
		r.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
		if answer, err := over.RoundTrip(r); err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
	}
	for range 40 {
		connection := &http.Transport{Protocols: new(http.Protocols)}
		connection.Protocols.SetUnencryptedHTTP2(true)
		defer connection.CloseIdleConnections()
		for range 90 {
			go call(connection, stsv1.TokenService_Exchange_FullMethodName, hanging(ctx, 16<<10))
		}
		for range 5 {
			go call(connection, stsv1.TokenService_BatchExchange_FullMethodName, hanging(ctx, 4<<20))
		}
		go func() {
			const size = 4 << 20
			frame := binary.BigEndian.AppendUint32([]byte{0}, size)
			call(connection, stsv1.TokenService_BatchExchange_FullMethodName, bytes.NewReader(append(frame, bytes.Repeat([]byte{0x0a, 0}, size/2)...)))
		}()
	}
	most := 0.0
	for ctx.Err() == nil {
		most = max(most, w.Metric("go_memstats_heap_inuse_bytes")+w.Metric("go_memstats_stack_inuse_bytes"))
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%.0f MiB at most", most/(1<<20))
	if most > 512<<20 {
		t.Errorf("%.0f MiB of heap and stacks", most/(1<<20))
	}
	if a := w.over(entrances[1]); a.Error != "" {
		t.Errorf("afterwards: %s", a.Body)
	}
}
