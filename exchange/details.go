package exchange

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Detail is one authorization detail of the only type that Databricks documents, workspace_permission (RFC 9396).
type Detail struct {
	Type       string   `json:"type"`
	ObjectType string   `json:"object_type"`
	ObjectPath string   `json:"object_path"`
	Actions    []string `json:"actions"`
}

// DetailTypeWorkspacePermission is the one type that we know.
const DetailTypeWorkspacePermission = "workspace_permission"

// Details are authorization details in canonical form: actions sorted and unique, elements sorted and unique. Equal
// sets give equal values and equal JSON.
type Details []Detail

// MakeDetails checks details and brings them into canonical form.
func MakeDetails(details []Detail) (Details, error) {
	made := make(Details, 0, len(details))
	for i, d := range details {
		switch {
		case d.Type == "":
			return nil, fmt.Errorf("element %d has no type", i)
		case d.Type != DetailTypeWorkspacePermission:
			return nil, fmt.Errorf("element %d is of a type that is not known here; use %s", i, DetailTypeWorkspacePermission)
		case d.ObjectType == "" || d.ObjectPath == "" || len(d.Actions) == 0 || slices.Contains(d.Actions, ""):
			return nil, fmt.Errorf("element %d needs object_type, object_path and actions", i)
		}
		d.Actions = slices.Clone(d.Actions)
		slices.Sort(d.Actions)
		d.Actions = slices.Compact(d.Actions)
		made = append(made, d)
	}
	slices.SortFunc(made, compareDetails)
	return slices.CompactFunc(made, func(a, b Detail) bool { return compareDetails(a, b) == 0 }), nil
}

func compareDetails(a, b Detail) int {
	if c := strings.Compare(a.Type, b.Type); c != 0 {
		return c
	}
	if c := strings.Compare(a.ObjectType, b.ObjectType); c != 0 {
		return c
	}
	if c := strings.Compare(a.ObjectPath, b.ObjectPath); c != 0 {
		return c
	}
	return slices.Compare(a.Actions, b.Actions)
}

// maxDetails bounds the parameter: elements in an array, actions in an element.
const maxDetails = 64

// ParseDetails reads an authorization_details parameter: a JSON array of objects (RFC 9396 §2). Unknown, repeated and
// differently cased members are refused, because to ignore one would yield a token wider than what was asked.
func ParseDetails(text string) (Details, *Error) {
	details, err := parseDetails(text)
	if err != nil {
		return nil, Refuse(CodeInvalidAuthorizationDetails, ReasonRequestMalformed, "authorization_details: %v", err)
	}
	return details, nil
}

func parseDetails(text string) (Details, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	if err := wantDelim(dec, '['); err != nil {
		return nil, errors.New("must be a JSON array of objects")
	}
	var raw []Detail
	for dec.More() {
		if len(raw) == maxDetails {
			return nil, fmt.Errorf("holds more than %d elements", maxDetails)
		}
		d, err := parseDetail(dec)
		if err != nil {
			return nil, fmt.Errorf("element %d %w", len(raw), err)
		}
		raw = append(raw, d)
	}
	if err := wantDelim(dec, ']'); err != nil {
		return nil, errors.New("must be a JSON array of objects")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("must be one JSON array and nothing behind it")
	}
	if len(raw) == 0 {
		return nil, errors.New("is an empty array; leave it out to get the policy's")
	}
	return MakeDetails(raw)
}

func parseDetail(dec *json.Decoder) (d Detail, err error) {
	if err := wantDelim(dec, '{'); err != nil {
		return d, errors.New("must be a JSON object")
	}
	seen := make(map[string]bool, 4)
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return d, errors.New("is not well-formed JSON")
		}
		name, _ := key.(string)
		if seen[name] {
			return d, errors.New("repeats a member")
		}
		seen[name] = true
		switch name {
		case "type":
			d.Type, err = wantString(dec)
		case "object_type":
			d.ObjectType, err = wantString(dec)
		case "object_path":
			d.ObjectPath, err = wantString(dec)
		case "actions":
			d.Actions, err = wantStrings(dec)
		default:
			err = errors.New("has a member that is not known here; type, object_type, object_path and actions are")
		}
		if err != nil {
			return d, err
		}
	}
	return d, wantDelim(dec, '}')
}

func wantDelim(dec *json.Decoder, want json.Delim) error {
	if t, err := dec.Token(); err != nil || t != want {
		return errors.New("is not well-formed JSON")
	}
	return nil
}

func wantString(dec *json.Decoder) (string, error) {
	t, err := dec.Token()
	if s, ok := t.(string); err == nil && ok {
		return s, nil
	}
	return "", errors.New("has a member that must be a string")
}

func wantStrings(dec *json.Decoder) ([]string, error) {
	if wantDelim(dec, '[') != nil {
		return nil, errors.New("has actions that are not an array of strings")
	}
	var list []string
	for dec.More() {
		s, err := wantString(dec)
		if err != nil || len(list) == maxDetails {
			return nil, errors.New("has actions that are not a short array of strings")
		}
		list = append(list, s)
	}
	return list, wantDelim(dec, ']')
}

// Within reports whether every detail of d lies within one of ceiling: same type and object, no other actions.
func (d Details) Within(ceiling Details) bool {
	for _, asked := range d {
		if !slices.ContainsFunc(ceiling, asked.within) {
			return false
		}
	}
	return true
}

func (d Detail) within(c Detail) bool {
	if d.Type != c.Type || d.ObjectType != c.ObjectType || d.ObjectPath != c.ObjectPath {
		return false
	}
	for _, action := range d.Actions {
		if !slices.Contains(c.Actions, action) {
			return false
		}
	}
	return true
}

// JSON is the canonical text, "" where there are none.
func (d Details) JSON() string {
	if len(d) == 0 {
		return ""
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode([]Detail(d)); err != nil {
		panic(fmt.Sprintf("encoding strings as JSON: %v", err)) // strings always encode
	}
	return strings.TrimSuffix(b.String(), "\n")
}
