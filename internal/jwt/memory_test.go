package jwt_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/lakegate/sts/internal/jwt"
)

// TestMemory holds that a token says how much memory its claims take, whatever is in them: who goes by their text is fooled by
// a thousand small objects.
func TestMemory(t *testing.T) {
	for name, payload := range map[string]string{
		"usual":         `{"iss":"https://idp.example","sub":"alice","aud":["api://x"],"exp":1764000000,"iat":1764000000,"jti":"0123456789abcdef","groups":["ml","data","eng"]}`,
		"one text":      `{"x":"` + strings.Repeat("a", 11_000) + `"}`,
		"objects":       `{"x":[` + strings.Repeat(`{"":0},`, 500) + `0]}`,
		"empty objects": `{"x":[` + strings.Repeat(`{},`, 1200) + `0]}`,
		"arrays":        `{"x":[` + strings.Repeat(`[],`, 1200) + `0]}`,
		"full arrays":   `{"x":[` + strings.Repeat(`[0],`, 800) + `0]}`,
		"numbers":       `{"x":[` + strings.Repeat(`7777,`, 700) + `0]}`,
		"texts":         `{"x":[` + strings.Repeat(`"",`, 1200) + `0]}`,
		"members":       `{` + members(400) + `"x":0}`,
	} {
		text := token(t, goodHeader, payload)
		const n = 100
		kept, said := make([]map[string]any, n), 0
		before := heap()
		for i := range kept {
			parsed, err := jwt.Parse(text)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			kept[i], said = parsed.Claims, parsed.Memory()
		}
		took := int(heap()-before) / n
		if said < took || said > 10*took {
			t.Errorf("%s: %d bytes of payload take %d bytes, and are said to take %d", name, len(payload), took, said)
		}
		runtime.KeepAlive(kept)
	}
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"` + strings.Repeat("a", i%7) + string(rune('a'+i%26)) + string(rune('a'+i/26)) + `":0,`)
	}
	return b.String()
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one found to be unused is gone now
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
