package exchange

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is the text of a token or a credential. However it is printed, formatted, logged or encoded, it says
// "[redacted]"; only [Secret.Reveal] gives the text, so that every place that handles it can be found by name.
type Secret string

// Reveal returns the text itself.
func (s Secret) Reveal() string { return string(s) }

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// Format implements fmt.Formatter, since %x, %q and %d would otherwise pass String by.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
