// Package strictyaml reads a YAML file into typed values and collects every fault on the way, each with file, line, column and a way
// to mend it, so that an operator mends a file once instead of once per mistake.
//
// How to walk it:
//
//	fault.go    Pos, Fault, Faults: what is wrong and where; Nearest: what was probably meant
//	parse.go    bytes -> tree of nodes: size, depth and the refused parts of YAML (anchors, tags, merge keys, several documents)
//	chunk.go    a long list at the top is parsed in chunks, so that 100,000 rules need seconds and little memory
//	node.go     one node of the tree, as a type of the caller's own (Unmarshaler) sees it
//	decode.go   tree -> Go value: unknown, repeated and missing keys, wrong types
//	value.go    Value, Map and Keys: typed values that remember where they stood, and whether they stood there at all
//	scalar.go   Name, Duration, OneOf: scalars that several files share
//
// A struct says what a mapping holds; every key is named by its tag, and nothing else is allowed:
//
//	type Rule struct {
//		Pos      strictyaml.Pos                                  // where the mapping starts; filled, not a key
//		ID       strictyaml.Value[strictyaml.Name]   `yaml:"id,required"`
//		Lifetime strictyaml.Value[strictyaml.Duration] `yaml:"lifetime"`
//		Clients  []strictyaml.Value[string]          `yaml:"clients"`
//	}
//
// Decoding goes on after a fault. A Value that did not decode stays unset (its fault is already recorded), and an element of a list
// that did not decode is left out, so checks that follow need only skip what is unset. They add what they find to the same Faults:
//
//	faults := strictyaml.Decode(strictyaml.Config{File: "policy.yaml"}, data, &file)
//	for _, client := range rule.Clients {
//		if !known[client.V] {
//			faults.Add(client.Pos, "rule data-science", `unknown client "kongg"`, `did you mean "kong"? Else add it under clients`)
//		}
//	}
//	return faults.Err()
package strictyaml
