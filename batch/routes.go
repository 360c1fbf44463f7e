package batch

import (
	"time"

	"daybook/event"
	"daybook/retention"
)

// routes tells which trails an event goes to, however many there are. It does not change once it is made.
type routes struct {
	trails   []Trail
	ids      []uint16 // the spool's number of each trail
	policies retention.Policies
	classIDs []uint8
	orgs     map[string]*orgRoutes
	byName   map[string]int
}

// orgRoutes are the trails of an org by their place: those of all its projects, and those of some.
type orgRoutes struct {
	all       []int
	byProject map[string][]int
}

func newRoutes(trails []Trail, ids []uint16, policies retention.Policies, classIDs []uint8) *routes {
	r := &routes{trails: trails, ids: ids, policies: policies, classIDs: classIDs, orgs: map[string]*orgRoutes{}, byName: map[string]int{}}
	for i := range trails {
		t := &trails[i]
		r.byName[t.Name] = i
		org := r.orgs[t.Org]
		if org == nil {
			org = &orgRoutes{byProject: map[string][]int{}}
			r.orgs[t.Org] = org
		}
		if len(t.Projects) == 0 {
			org.all = append(org.all, i)
		}
		for _, p := range t.Projects {
			if of := org.byProject[p]; len(of) == 0 || of[len(of)-1] != i { // it may be named twice
				org.byProject[p] = append(of, i)
			}
		}
	}
	return r
}

// of calls use with each trail that covers the event.
func (r *routes) of(e *event.Event, use func(trail int)) {
	org := r.orgs[e.Get(event.Org)]
	if org == nil {
		return
	}
	for _, i := range org.all {
		use(i)
	}
	for _, i := range org.byProject[e.Get(event.ProjectID)] {
		use(i)
	}
}

// router returns what files events in that are received at that time.
func (r *routes) router(received time.Time) *router { return newRouter(r.trails, r.policies, received) }
