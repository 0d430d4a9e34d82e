package index

// TermsOf are an event's, as they go into the database.
func TermsOf(e *Event) []Term { return termsOf(e) }

// Hash is what a term is in the database.
func (t Term) Hash() int64 { return t.hash() }
