package databricks

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

var errNotObject = errors.New("not one JSON object without repeated members")

// maxMembers bounds the members of an object. The answers that we know have about six.
const maxMembers = 64

// members gives a JSON object's members by their exact names. encoding/json into a struct would fold their case and
// let the last of two win.
func members(data []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errNotObject
	}
	found := make(map[string]json.RawMessage, 8)
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, errNotObject
		}
		name, _ := key.(string)
		if _, repeated := found[name]; repeated || len(found) == maxMembers {
			return nil, errNotObject
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, errNotObject
		}
		found[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, errNotObject
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotObject
	}
	return found, nil
}

// text gives a member that is a JSON string; "" and false where it isn't there or is something else.
func text(m map[string]json.RawMessage, name string) (string, bool) {
	raw, ok := m[name]
	if !ok || len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}
