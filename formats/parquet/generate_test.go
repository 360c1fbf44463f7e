package parquet_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"daybook/event"
)

// generator makes events as a busy service writes them, in order of time: few actors, actions and addresses, ids that never repeat, and an
// info of 230 bytes: 22 of 33 texts are set, and the evidence row has 900 bytes.
type generator struct {
	r                                      *rand.Rand
	now                                    time.Time
	actors, ips, agents, sessions, objects []string
	actions, types, projects, regions      []string
}

func newGenerator() *generator {
	g := &generator{r: rand.New(rand.NewPCG(1, 2)), now: time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)}
	fill := func(n int, format string) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(format, i*7919%100_003)
		}
		return list
	}
	g.actors = fill(2000, "user-%06d")
	g.ips = make([]string, 5000)
	for i := range g.ips {
		g.ips[i] = fmt.Sprintf("10.%d.%d.%d", i%7, i/250, i%250)
	}
	g.agents = fill(300, "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36")
	g.sessions = make([]string, 20_000)
	for i := range g.sessions {
		g.sessions[i] = g.uuid()
	}
	g.objects = fill(50_000, "file-GxY%08dqpLmN")
	g.actions = fill(50, "resource-%d-describe")
	g.types = fill(12, "api.read.%d")
	g.projects = fill(200, "project-Bb%06dXyZ")
	g.regions = []string{"eu-west-1", "eu-central-1", "us-east-1", "us-west-2"}
	return g
}

func (g *generator) uuid() string {
	a, b := g.r.Uint64(), g.r.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0xfff, b&0xffffffffffff)
}

func pick(r *rand.Rand, list []string) string {
	// Squared: some values are far more common than others.
	f := r.Float64()
	return list[int(f*f*float64(len(list)))]
}

func (g *generator) next() event.Event {
	var e event.Event
	g.now = g.now.Add(time.Duration(g.r.IntN(40_000)+1) * time.Microsecond)
	e.Time = g.now
	actor := pick(g.r, g.actors)
	object := pick(g.r, g.objects)
	project := pick(g.r, g.projects)
	e.Set(event.ID, g.uuid())
	e.Set(event.Source, "native")
	e.Set(event.Org, "org-acme")
	e.Set(event.Type, pick(g.r, g.types))
	e.Set(event.Action, pick(g.r, g.actions))
	e.Set(event.Outcome, event.Success)
	if g.r.IntN(12) == 0 {
		e.Set(event.Outcome, event.Failure)
		e.Set(event.ErrorCode, "AccessDenied")
		e.Set(event.ErrorMessage, "User "+actor+" is not allowed to do that on "+object)
	}
	e.Set(event.Severity, "info")
	e.Set(event.ActorType, "user")
	e.Set(event.ActorID, actor)
	e.Set(event.ActorEmail, actor+"@example.com")
	e.Set(event.IP, pick(g.r, g.ips))
	e.Set(event.UserAgent, pick(g.r, g.agents))
	e.Set(event.SessionID, pick(g.r, g.sessions))
	e.Set(event.RequestID, g.uuid())
	e.Set(event.TokenLabel, "ci")
	e.Set(event.ObjectType, "file")
	e.Set(event.ObjectID, object)
	e.Set(event.ProjectID, project)
	e.Set(event.Region, pick(g.r, g.regions))
	e.Set(event.Info, fmt.Sprintf(`{"describe":{"fields":{"id":true,"name":true,"size":%d},"default":false},"limit":%d,"starting":"%s","scope":{"project":"%s","folder":"/runs/%d/out","recurse":true},"name":{"glob":"*.%d.bam"}}`,
		g.r.IntN(1<<30), g.r.IntN(1000), object, project, g.r.IntN(5000), g.r.IntN(100)))
	return e
}

func (g *generator) events(n int) []event.Event {
	list := make([]event.Event, n)
	for i := range list {
		list[i] = g.next()
	}
	return list
}
