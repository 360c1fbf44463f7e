package fetch

import (
	"context"

	"daybook/batch/seal"
	"daybook/sink"
)

// Extent is how much of a trail a query asks for.
type Extent struct {
	Trail        string
	Files, Bytes int64
	// FirstSeal to LastSeal, and FirstDay to LastDay, are what the files are of.
	FirstSeal, LastSeal uint64
	FirstDay, LastDay   seal.Date
	// Keys are those of the files, or of the first so many.
	Keys []string
}

// Extents goes through the files of a query, and returns how much it is of each trail, with at most so many keys each. It bounds the query to the seals that it saw:
// what is sealed afterwards is not among what the query yields from then on.
func (q *Query) Extents(ctx context.Context, store sink.Store, keys int) ([]Extent, error) {
	count := *q
	count.Shared = nil // it is told when the files are gone through for their own sake
	through := map[string]uint64{}
	var list []Extent
	for f, err := range Files(ctx, store, &count) {
		if err != nil {
			return nil, err
		}
		if len(list) == 0 || list[len(list)-1].Trail != f.Trail { // files come by trail
			list = append(list, Extent{Trail: f.Trail, FirstSeal: f.Seal, FirstDay: f.Day, LastDay: f.Day})
		}
		e := &list[len(list)-1]
		e.Files++
		e.Bytes += f.Size
		e.LastSeal = f.Seal
		e.FirstDay.Day, e.LastDay.Day = min(e.FirstDay.Day, f.Day.Day), max(e.LastDay.Day, f.Day.Day)
		if len(e.Keys) < keys {
			e.Keys = append(e.Keys, f.Key)
		}
		through[f.Trail] = f.Seal
	}
	q.Through = through
	return list, nil
}
