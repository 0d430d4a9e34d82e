package emulator

// Attack is a token that must be refused, beside a twin that differs from it in the attack alone and must be accepted. The
// twin proves that the attack is why: a corpus that is refused because its audience is wrong says nothing.
type Attack struct {
	// Name says what is tried, in a few words.
	Name string
	// Type is the token type URN that both are presented as.
	Type        string
	Token, Twin string
	// Cause is a part of the refusal's message: the attack is refused for what it is, not for something beside it.
	Cause string
}
