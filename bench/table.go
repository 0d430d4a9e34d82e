package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// row is one figure beside what it is compared with and what it must be.
type row struct {
	what, measured, against, ratio, budget string
	verdict                                string // "ok", "MISSED", "" where there is no budget
}

type table struct{ rows []row }

func (t *table) add(r row) { t.rows = append(t.rows, r) }

func verdict(ok bool) string {
	if ok {
		return "ok"
	}
	return "MISSED"
}

func (t *table) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "what\tmeasured\tagainst\tratio\tbudget\t")
	fmt.Fprintln(tw, "----\t--------\t-------\t-----\t------\t")
	for _, r := range t.rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", r.what, r.measured, r.against, r.ratio, r.budget, r.verdict)
	}
	return tw.Flush()
}
