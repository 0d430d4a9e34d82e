package audit

// recent remembers at least the last size keys, at most twice as many: two generations, of which the older is dropped
// when the younger is full. What it forgot costs a repeated record or fsync, never a missing one.
type recent[K comparable, V any] struct {
	size       int
	young, old map[K]V
}

func (r *recent[K, V]) get(k K) (v V, ok bool) {
	if v, ok = r.young[k]; ok {
		return v, true
	}
	if v, ok = r.old[k]; ok {
		r.put(k, v)
	}
	return v, ok
}

func (r *recent[K, V]) put(k K, v V) {
	if r.young == nil {
		r.young = make(map[K]V)
	}
	if len(r.young) >= r.size {
		r.young, r.old = make(map[K]V, r.size), r.young
	}
	r.young[k] = v
}

func (r *recent[K, V]) clear() { r.young, r.old = nil, nil }
