package jwt

import "crypto"

// CheckPublic refuses a key that nothing should be checked against, whatever it came in: its error says what it "is".
func CheckPublic(public crypto.PublicKey) error {
	return (&Key{Public: public}).check()
}
