package strictyaml

import (
	"slices"
	"strconv"
	"strings"
)

// maxCompared is the longest name, in bytes, that is worth a comparison; nobody mistypes a longer one by two letters.
const maxCompared = 64

// Nearest is the known name that was probably meant: the one with the fewest edits (Levenshtein), if they are at most a third of the
// name and less than all of it, else "". Equal distances go to the first in alphabetical order, so that messages don't change between runs.
func Nearest(name string, known []string) string {
	best, bestDistance := "", min((len(name)+2)/3+1, len(name))
	if len(name) > maxCompared {
		return ""
	}
	lower := strings.ToLower(name)
	for _, candidate := range known {
		if candidate == name || len(candidate) > maxCompared || abs(len(candidate)-len(name)) > bestDistance {
			continue
		}
		d := distance(lower, strings.ToLower(candidate))
		if d < bestDistance || d == bestDistance && best != "" && candidate < best {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// DidYouMean is the mend for an unknown name: the nearest known one as a question, or the known ones if they are few, then the
// alternative, if there is one ("add it under clients").
func DidYouMean(name string, known []string, otherwise string) string {
	near := Nearest(name, known)
	switch {
	case near != "" && otherwise != "":
		return "did you mean " + strconv.Quote(near) + "? Else " + otherwise
	case near != "":
		return "did you mean " + strconv.Quote(near) + "?"
	case otherwise != "":
		return otherwise
	case len(known) == 0:
		return "leave it out"
	case len(known) > 40:
		return ""
	}
	sorted := slices.Clone(known)
	slices.Sort(sorted)
	return "known: " + strings.Join(sorted, ", ")
}

// distance counts the edits that turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func abs(n int) int { return max(n, -n) }
