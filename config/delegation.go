package config

import "strconv"

// Delegation is whether others may act for subjects (RFC 8693 §1.1).
type Delegation struct {
	Enabled  bool `yaml:"enabled"`
	MaxChain int  `yaml:"max_chain"` // actors, the current one included
}

type delegationFile struct {
	Enabled  flag   `yaml:"enabled"`
	MaxChain number `yaml:"max_chain"`
}

const (
	defaultMaxChain = 5
	// mostMaxChain is more than a token can hold: its claims nest at most 32 deep.
	mostMaxChain = 32
)

func (c *checker) delegation(f *delegationFile) Delegation {
	d := Delegation{Enabled: f.Enabled.V, MaxChain: defaultMaxChain}
	if f.MaxChain.Set() {
		d.MaxChain = f.MaxChain.V
	}
	if d.MaxChain < 1 || d.MaxChain > mostMaxChain {
		c.fault(f.MaxChain.Pos, "delegation.max_chain", "a chain of "+strconv.Itoa(d.MaxChain)+" actors",
			"write 1 to "+strconv.Itoa(mostMaxChain)+"; who acts now is one of them")
	}
	return d
}

// mayAct says which actor tokens a client may present.
func (c *checker) mayAct(client *Client, f *clientFile, path string) {
	for _, party := range f.ActorParties.list.Items {
		c.filled(party, path+".actor_parties") // as for authorized_parties
	}
	client.MayAct = f.MayAct.V
	switch given := !f.ActorParties.Pos.IsZero(); {
	case given && !f.MayAct.V:
		c.fault(f.ActorParties.Pos, path+".actor_parties", "parties of actor tokens that the client may not present", "add may_act: true, or leave it out")
	case given:
		client.ActorParties = f.ActorParties.value()
	case f.MayAct.V:
		client.ActorParties = Parties{Any: true}
	}
}
