package exchange_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/lakegate/sts/exchange"
)

func TestSecretNeverPrintsItself(t *testing.T) {
	const planted = "s3cr3t-value"
	s := exchange.Secret(planted)
	holder := struct{ Token exchange.Secret }{s}

	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+verb+"\n", s, holder)
	}
	encoded, err := json.Marshal(map[string]any{"a": s, "b": holder, "c": &holder})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("m", "token", s, "holder", holder)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("m", "token", s, "holder", holder)
	out.Write(logged.Bytes())

	for _, form := range []string{planted, fmt.Sprintf("%x", planted), fmt.Sprintf("%X", planted)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret appears as %q in:\n%s", form, out.String())
		}
	}
	if s.Reveal() != planted {
		t.Errorf("Reveal gives %q", s.Reveal())
	}
}
