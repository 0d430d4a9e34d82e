// Package recent is a bounded memory, for what may be forgotten at a cost.
package recent

// Memory remembers at least the last size keys, at most twice as many: two generations, of which the older is dropped
// when the younger is full. It is for one goroutine at a time.
type Memory[K comparable, V any] struct {
	size       int
	young, old map[K]V
}

// New makes an empty memory.
func New[K comparable, V any](size int) Memory[K, V] { return Memory[K, V]{size: size} }

// Get returns what was put last under k, and remembers it anew.
func (m *Memory[K, V]) Get(k K) (v V, ok bool) {
	if v, ok = m.young[k]; ok {
		return v, true
	}
	if v, ok = m.old[k]; ok {
		m.Put(k, v)
	}
	return v, ok
}

// Put remembers v under k.
func (m *Memory[K, V]) Put(k K, v V) {
	if m.young == nil {
		m.young = make(map[K]V)
	}
	if len(m.young) >= m.size {
		m.young, m.old = make(map[K]V, m.size), m.young
	}
	m.young[k] = v
}

// Clear forgets all.
func (m *Memory[K, V]) Clear() { m.young, m.old = nil, nil }
