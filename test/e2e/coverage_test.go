package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// required are the rows of the conformance list that the program must hold today. Later capabilities add theirs.
const required = `
	A01 A02 A03 A05 A06 A08 A09 A10 A11 A13 A14 A16 A17 A18
	B01 B03 B04 B06 B07 B08 B09 B10 B11 B12
	C01 C02 C03 C05 C06 C08 C09 C10 C11 C12 C18
	D02 D03 D05 D08 D09 D10 D11
	E01 E02 E04 E05 E06 E07 E08 E09 E10 E12 E13 E14 E16 E17 E18
	F01 F03 F04 F05 F07 F08 F09 F11 F12 F13 F14 F16 F17 F18 F19 F20 F21 F22 F23 F24 F25 F26 F27 F28 F30
	G18
	H01 H02 H03 H04 H05 H07 H08 H09 H10 H11 H12 H13 H14 H15 H16 H18 H19 H20 H22 H23 H24 H25 H26
	I02 I03 I04 I05 I06 I07 I08 I09 I10
	J01 J02 J03 J04 J05 J06 J07 J08 J09 J10 J11 J12 J13
	K01
	M01 M02 M03 M04 M05 M06
	P01 P02 P03 P04 P05 P06 P09 P10 P12`

// TestEveryRowHasItsTest looks for each row as the id of a row, or in the name of a test.
func TestEveryRowHasItsTest(t *testing.T) {
	files, err := filepath.Glob("rows_*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "record_test.go", "tls_test.go")
	named := map[string]bool{}
	id := regexp.MustCompile(`(?:id: |row\(|refused\(|bad\(|good\(|edited\(|invalid\(|unsupported\(|requested\(|target\(|resource\(|details\(|unauthorized\(|\{)"([A-Z]\d\d)`)
	inName := regexp.MustCompile(`func TestRows?((?:[A-Z]\d\d)+)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range id.FindAllStringSubmatch(string(text), -1) {
			named[m[1]] = true
		}
		for _, m := range inName.FindAllStringSubmatch(string(text), -1) {
			for i := 0; i < len(m[1]); i += 3 {
				named[m[1][i:i+3]] = true
			}
		}
	}
	for _, row := range strings.Fields(required) {
		if !named[row] {
			t.Errorf("row %s has no test", row)
		}
	}
	if named["Z99"] || len(named) < 100 {
		t.Errorf("the search itself is wrong: it found %d rows", len(named))
	}
}
