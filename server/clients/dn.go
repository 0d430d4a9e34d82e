package clients

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// attribute is one type and value of a distinguished name, like CN=nightly-etl.
type attribute struct {
	oid   string // dotted
	value string
}

// dn is a distinguished name: a sequence of sets of attributes, the most significant first, as in a certificate. The
// sets are sorted, since their order means nothing.
type dn [][]attribute

// shortNames are those of RFC 4514 §3, and the two that certificates in the field use beside them.
var shortNames = map[string]string{
	"CN": "2.5.4.3", "L": "2.5.4.7", "ST": "2.5.4.8", "O": "2.5.4.10", "OU": "2.5.4.11", "C": "2.5.4.6",
	"STREET": "2.5.4.9", "DC": "0.9.2342.19200300.100.1.25", "UID": "0.9.2342.19200300.100.1.1",
	"SERIALNUMBER": "2.5.4.5", "EMAILADDRESS": "1.2.840.113549.1.9.1",
}

// parseDN reads the string of RFC 4514, which has the most significant part last: `CN=nightly-etl,O=Acme`. Values are
// text; the form in hexadecimal (`#04…`) is not taken.
func parseDN(text string) (dn, error) {
	var name dn
	set := []attribute{}
	for rest := text; ; {
		equals := strings.IndexByte(rest, '=')
		if equals < 0 {
			return nil, errors.New("each part of a distinguished name is a type, an equals sign and a value, like CN=nightly-etl,O=Acme")
		}
		oid, err := parseType(strings.Trim(rest[:equals], " "))
		if err != nil {
			return nil, err
		}
		value, after, err := parseValue(rest[equals+1:])
		if err != nil {
			return nil, err
		}
		set = append(set, attribute{oid, value})
		if after == "" || after[0] != '+' {
			name = append(name, sorted(set))
			set = nil
		}
		if after == "" {
			slices.Reverse(name)
			return name, nil
		}
		rest = after[1:]
	}
}

// parseType reads a short name, in any case, or a dotted number.
func parseType(text string) (oid string, err error) {
	if oid, known := shortNames[strings.ToUpper(text)]; known {
		return oid, nil
	}
	arcs := strings.Split(text, ".")
	for _, arc := range arcs {
		if n, err := strconv.ParseUint(arc, 10, 31); err != nil || strconv.FormatUint(n, 10) != arc {
			return "", fmt.Errorf("%q is no attribute type that is known here; write CN, O, OU, C, ST, L, STREET, DC, UID, serialNumber, emailAddress or a dotted number", text)
		}
	}
	if len(arcs) < 2 {
		return "", fmt.Errorf("%q is no attribute type; a dotted number has at least two parts", text)
	}
	return text, nil
}

// parseValue reads one value up to the separator behind it, which stays in after. Spaces around it are not of it,
// unless they are escaped.
func parseValue(text string) (value, after string, err error) {
	var b strings.Builder
	text = strings.TrimLeft(text, " ")
	if strings.HasPrefix(text, "#") {
		return "", "", errors.New("a value in hexadecimal is not supported; write its text, and a leading # as \\#")
	}
	kept := 0 // the length that trailing spaces are not cut from
	for i := 0; ; {
		if i == len(text) || text[i] == ',' || text[i] == '+' {
			value = strings.TrimRight(b.String()[kept:], " ")
			if value = b.String()[:kept] + value; value == "" {
				return "", "", errors.New("a part of the distinguished name has no value")
			}
			return value, text[i:], nil
		}
		switch c := text[i]; {
		case c == '\\':
			char, width, err := unescape(text[i:])
			if err != nil {
				return "", "", err
			}
			b.WriteByte(char)
			kept = b.Len()
			i += width
		case strings.IndexByte("\";<>\x00", c) >= 0:
			return "", "", fmt.Errorf("the character %q must be escaped with a backslash", c)
		default:
			b.WriteByte(c)
			i++
		}
	}
}

// unescape reads `\,` or `\2C`.
func unescape(text string) (char byte, width int, err error) {
	if len(text) >= 2 && strings.IndexByte(` "#+,;<=>\`, text[1]) >= 0 {
		return text[1], 2, nil
	}
	if len(text) >= 3 {
		if b, err := hex.DecodeString(text[1:3]); err == nil {
			return b[0], 3, nil
		}
	}
	return 0, 0, errors.New("a backslash stands before a special character or two hexadecimal digits")
}

// certificateDN reads a certificate's subject as it stands there. pkix.Name would put its parts into an order of its own.
func certificateDN(raw []byte) (dn, bool) {
	var sequence pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &sequence); err != nil || len(rest) > 0 {
		return nil, false
	}
	name := make(dn, len(sequence))
	for i, set := range sequence {
		for _, a := range set {
			value, isText := a.Value.(string)
			if !isText {
				return nil, false
			}
			name[i] = append(name[i], attribute{a.Type.String(), value})
		}
		name[i] = sorted(name[i])
	}
	return name, true
}

// equal compares letter for letter, which is stricter than X.520 and leaves nothing to interpretation.
func (n dn) equal(other dn) bool {
	return len(n) > 0 && slices.EqualFunc(n, other, slices.Equal[[]attribute])
}

func sorted(set []attribute) []attribute {
	slices.SortFunc(set, func(a, b attribute) int {
		if c := strings.Compare(a.oid, b.oid); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	return set
}
