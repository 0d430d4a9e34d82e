package strictyaml

// Value is a T that remembers where it stood. Unset means that the key was absent, or that its value was faulty.
type Value[T any] struct {
	V   T
	Pos Pos
}

// Set says whether the value was in the file and decoded.
func (v Value[T]) Set() bool { return !v.Pos.IsZero() }

// Or is the value, or the default if it isn't set.
func (v Value[T]) Or(otherwise T) T {
	if v.Set() {
		return v.V
	}
	return otherwise
}

// UnmarshalNode implements Unmarshaler.
func (v *Value[T]) UnmarshalNode(n Node) bool {
	var value T
	if !n.Decode(&value) {
		return false
	}
	v.V, v.Pos = value, n.Pos()
	return true
}

// Keys are the known keys that a mapping has, faulty values included, and where they stand. A struct's field of this type, named Keys,
// is filled like Pos.
type Keys map[string]Pos

// Has says whether the key is there.
func (k Keys) Has(key string) bool { return !k[key].IsZero() }

// Map is a mapping with keys of the file's own choice, in the file's order.
type Map[T any] struct {
	Pos     Pos // where the mapping starts; zero if it is absent
	Entries []Entry[T]
}

// Entry is one key of a Map with its value. A value that was faulty is its type's zero value.
type Entry[T any] struct {
	Key   string
	Pos   Pos // of the key
	Value T
}

// Keys lists the keys in the file's order.
func (m Map[T]) Keys() []string {
	keys := make([]string, len(m.Entries))
	for i, e := range m.Entries {
		keys[i] = e.Key
	}
	return keys
}

// Get finds an entry by its key, by comparing one after the other.
func (m Map[T]) Get(key string) (T, bool) {
	for i := range m.Entries {
		if m.Entries[i].Key == key {
			return m.Entries[i].Value, true
		}
	}
	var none T
	return none, false
}

// UnmarshalNode implements Unmarshaler.
func (m *Map[T]) UnmarshalNode(n Node) bool {
	if n.Kind() != Mapping {
		return n.Wrong("a mapping")
	}
	m.Pos = n.Pos()
	n.d.eachKey(n.n, n.p, func(key, value *node, p *path) {
		e := Entry[T]{Key: key.text, Pos: n.d.pos(key)}
		n.d.decodeInto(value, p, &e.Value)
		m.Entries = append(m.Entries, e)
	})
	return true
}
