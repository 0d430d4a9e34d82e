package jwt

import (
	"errors"
	"fmt"
)

// MaxDepth bounds how deep objects and arrays nest; the outermost object is at depth 1.
const MaxDepth = 32

// ParseObject reads one JSON object (RFC 8259) into plain values: nil, bool, string, int64, float64, []any,
// map[string]any. An integer without fraction and exponent that fits is an int64, every other number a float64.
//
// It refuses what RFC 8259 leaves to the reader: repeated names at any level, invalid UTF-8, halves of surrogate
// pairs, numbers that no float64 can hold, bytes behind the object, more than MaxDepth levels. Names are kept letter for
// letter. Strings of the result share text's memory.
func ParseObject(text string) (map[string]any, error) {
	object, _, err := MeasureObject(text)
	return object, err
}

// MeasureObject is ParseObject, and says how many bytes the result takes, text included: rather more than it does, never less.
// Small objects take fifty times their text, so that what is bounded by its text isn't bounded.
func MeasureObject(text string) (object map[string]any, memory int, err error) {
	s := scanner{text: text}
	s.skipSpace()
	if s.peek() != '{' {
		return nil, 0, errNotObject
	}
	if object, err = s.object(1); err != nil {
		return nil, 0, err
	}
	s.skipSpace()
	if s.at != len(text) {
		return nil, 0, errors.New("goes on behind its JSON object")
	}
	return object, len(text)*8/7 + s.memory, nil // memory comes in sizes
}

// What things take in memory, measured and rounded up.
const (
	objectBytes = 384 // a map with its first group of eight
	memberBytes = 96  // a place in a map that has just doubled
	arrayBytes  = 32
	valueBytes  = 56 // a place in an array that has just doubled, and a number or a text's head beside it
)

var (
	errNotObject = errors.New("is not a JSON object")
	errJSON      = errors.New("is not well-formed JSON")
	errDepth     = fmt.Errorf("nests deeper than %d levels", MaxDepth)
	errDuplicate = errors.New("repeats a name")
)

// value reads any value; depth is how many objects and arrays it lies in.
func (s *scanner) value(depth int) (any, error) {
	s.memory += valueBytes
	switch c := s.peek(); {
	case c == '{':
		return s.object(depth + 1)
	case c == '[':
		return s.array(depth + 1)
	case c == '"':
		return s.string()
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	case s.literal("true"):
		return true, nil
	case s.literal("false"):
		return false, nil
	case s.literal("null"):
		return nil, nil
	}
	return nil, errJSON
}

func (s *scanner) object(depth int) (map[string]any, error) {
	if depth > MaxDepth {
		return nil, errDepth
	}
	s.at++ // {
	s.memory += objectBytes
	object := make(map[string]any)
	s.skipSpace()
	if s.take('}') {
		return object, nil
	}
	for {
		if err := s.member(object, depth); err != nil {
			return nil, err
		}
		s.skipSpace()
		switch {
		case s.take('}'):
			return object, nil
		case !s.take(','):
			return nil, errJSON
		}
	}
}

// member reads one name and value.
func (s *scanner) member(object map[string]any, depth int) error {
	s.skipSpace()
	if s.peek() != '"' {
		return errJSON
	}
	name, err := s.string()
	if err != nil {
		return err
	}
	if _, there := object[name]; there {
		return errDuplicate
	}
	s.skipSpace()
	if !s.take(':') {
		return errJSON
	}
	s.skipSpace()
	s.memory += memberBytes
	object[name], err = s.value(depth)
	return err
}

func (s *scanner) array(depth int) ([]any, error) {
	if depth > MaxDepth {
		return nil, errDepth
	}
	s.at++ // [
	s.memory += arrayBytes
	array := []any{}
	s.skipSpace()
	if s.take(']') {
		return array, nil
	}
	for {
		s.skipSpace()
		element, err := s.value(depth)
		if err != nil {
			return nil, err
		}
		array = append(array, element)
		s.skipSpace()
		switch {
		case s.take(']'):
			return array, nil
		case !s.take(','):
			return nil, errJSON
		}
	}
}
