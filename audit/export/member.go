package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
)

// object is a JSON object whose members keep their order and their text.
type object []member

type member struct {
	name  string
	value json.RawMessage
}

func parseObject(text []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	var o object
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		m := member{}
		m.name, _ = t.(string)
		if err := dec.Decode(&m.value); err != nil {
			return nil, err
		}
		o = append(o, m)
	}
	return o, nil
}

func (o object) index(name string) int {
	return slices.IndexFunc(o, func(m member) bool { return m.name == name })
}

// get returns a member's value, nil where there is none.
func (o object) get(name string) json.RawMessage {
	if i := o.index(name); i >= 0 {
		return o[i].value
	}
	return nil
}

// with returns o with a member of that value, in its old place, else behind that of the name after, else last; and without
// it where value is nil.
func (o object) with(name string, value json.RawMessage, after string) object {
	i := o.index(name)
	switch {
	case i >= 0 && value == nil:
		return slices.Delete(o, i, i+1)
	case i >= 0:
		o[i].value = value
		return o
	case value == nil:
		return o
	}
	if i = o.index(after); i < 0 {
		i = len(o) - 1
	}
	return slices.Insert(o, i+1, member{name, value})
}

func (o object) text() []byte {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		name, _ := json.Marshal(m.name) // a string always encodes
		b = append(append(append(b, name...), ':'), m.value...)
	}
	return append(b, '}')
}
