package e2e_test

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// required are the rows of the conformance list that the program must hold today. Later capabilities add theirs.
const required = `
	A01 A02 A03 A05 A06 A08 A09 A10 A11 A13 A14 A16 A17 A18
	B01 B03 B04 B06 B07 B08 B09 B10 B11 B12
	C01 C02 C03 C05 C06 C08 C09 C10 C11 C12 C13 C14 C15 C17 C18
	D02 D03 D05 D08 D09 D10 D11
	E01 E02 E04 E05 E06 E07 E08 E09 E10 E12 E13 E14 E16 E17 E18
	F01 F03 F04 F05 F07 F08 F09 F11 F12 F13 F14 F16 F17 F18 F19 F20 F21 F22 F23 F24 F25 F26 F27 F28 F30
	G01 G02 G04 G05 G06 G07 G08 G09 G10 G11 G12 G14 G15 G16 G17 G18 G19 G20
	H01 H02 H03 H04 H05 H07 H08 H09 H10 H11 H12 H13 H14 H15 H16 H18 H19 H20 H21 H22 H23 H24 H25 H26
	I02 I03 I04 I05 I06 I07 I08 I09 I10
	J01 J02 J03 J04 J05 J06 J07 J08 J09 J10 J11 J12 J13 J14
	K01 K03 K04 K05 K07 K08
	M01 M02 M03 M04 M05 M06
	P01 P02 P03 P04 P05 P06 P07 P08 P09 P10 P11 P12`

// special are the rows that not every entrance has, with those that have them, and why. All others must be held through
// the form, over gRPC and as JSON.
var special = map[string]struct{ entrances, because string }{
	"A05": {"form json", "gRPC has no query string"},
	"A06": {"form json", "gRPC has no query string"},
	"A08": {"form json", "gRPC has its own media type, which its library looks after"},
	"A09": {"form json", "as A08"},
	"A11": {"form json", "of percent-encoding, and of JSON that isn't well formed; gRPC's messages are M04's and unit tests'"},
	"A14": {"form", "the other entrances' names say the grant"},
	"A16": {"form", "as A14"},
	"A18": {"form json", "gRPC's twin is M03"},
	"H02": {"form", "the other entrances take no secret in the message"},
	"H09": {"form json", "gRPC has no query string"},
	"K01": {"metadata", "a document"},
	"K03": {"form grpc", "RFC 7662's and RFC 7009's requests have no JSON of their own"},
	"K04": {"form grpc", "as K03"},
	"K05": {"form grpc", "as K03"},
	"K07": {"form grpc", "as K03"},
	"K08": {"grpc json", "the API of bearers has no form"},
	"M02": {"grpc", "of gRPC's statuses"},
	"M03": {"grpc", "A18's twin"},
	"M04": {"grpc json", "of gRPC's statuses and trailers; the scan of every test looks at the form's errors"},
	"M06": {"grpc", "the form and JSON have no deadline of their caller's: J12 hangs up"},
}

// coverage is which rows were run through which entrances.
type coverage struct {
	mu   sync.Mutex
	rows map[string]map[string]bool
}

// covered is filled by the tests of this package and looked at when all are over.
var covered = coverage{rows: map[string]map[string]bool{}}

// note says that a row is run through an entrance. Of its id the first three characters count.
func (c *coverage) note(row, entrance string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := row[:min(3, len(row))]
	if c.rows[id] == nil {
		c.rows[id] = map[string]bool{}
	}
	c.rows[id][entrance] = true
}

// notes is note for several rows, separated by spaces.
func (c *coverage) notes(rows, entrance string) {
	for _, row := range strings.Fields(rows) {
		c.note(row, entrance)
	}
}

// missing are the rows that were not run through an entrance that they have.
func (c *coverage) missing() (faults []string) {
	for _, row := range strings.Fields(required) {
		want := "form grpc json"
		if s, only := special[row]; only {
			want = s.entrances
		}
		for _, e := range strings.Fields(want) {
			if !c.rows[row][e] {
				faults = append(faults, fmt.Sprintf("row %s was not run through %s, but through %v", row, e, slices.Sorted(maps.Keys(c.rows[row]))))
			}
		}
	}
	return faults
}

// wholePackage reports whether all tests of the package were asked for.
func wholePackage() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.bench", "test.fuzz"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	return true
}
