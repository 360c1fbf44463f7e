// Package generate makes a day of audit events as a busy service writes them, in Daybook's own JSON Lines, to measure and test with.
//
// What it guarantees: equal Options give equal bytes, on any machine and with any number of processors. The events of a day stand in files one after
// the other as a feed that rotates its file would write them, out of order by less than Disorder. A share of the lines are redeliveries: byte for
// byte the line of an event a little earlier, which may stand in the file before. Values repeat as they do in real logs: few actions and user
// agents, some users far busier than others, identifiers that never come again.
package generate

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"daybook/event"
)

// Version changes with the bytes that equal Options give, so that files kept from before are not taken for these.
const Version = 1

// Disorder is more than any event is out of order: an event stands before no other that happened Disorder or longer before it.
const Disorder = 10 * time.Minute

// Options say what to make. The zero value of a field stands for its default.
type Options struct {
	Events int       // lines, redeliveries among them; 2,000,000
	Files  int       // 4
	Seed   uint64    // 0
	Day    event.Day // 2026-03-10
	// RepeatEvery is after how many lines, on average, one is a redelivery; 100. Negative: none is.
	RepeatEvery int
}

func (o *Options) defaults() {
	if o.Events == 0 {
		o.Events = 2_000_000
	}
	if o.Files == 0 {
		o.Files = 4
	}
	if o.Day == 0 {
		o.Day = event.DayOf(time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC))
	}
	if o.RepeatEvery == 0 {
		o.RepeatEvery = 100
	}
}

// Name is a folder name that stands for these options, and for no others.
func (o Options) Name() string {
	o.defaults()
	return fmt.Sprintf("day-v%d-%s-%d-events-%d-files-repeat-%d-seed-%d", Version, o.Day, o.Events, o.Files, o.RepeatEvery, o.Seed)
}

// Day writes the files `events-0000.jsonl` and on into dir, which must be there, and returns their paths.
func Day(dir string, o Options) ([]string, error) {
	o.defaults()
	var (
		g     errgroup.Group
		m     = newMaker(o)
		paths = make([]string, o.Files)
	)
	for i := range paths {
		paths[i] = filepath.Join(dir, fmt.Sprintf("events-%04d.jsonl", i))
		from, to := o.Events*i/o.Files, o.Events*(i+1)/o.Files
		g.Go(func() error { return m.write(paths[i], from, to) })
	}
	return paths, g.Wait()
}

// maker holds the lists that values are taken from. It is only read once made: each line comes from its own random sequence, so that files can be
// written at the same time.
type maker struct {
	o                                                   Options
	actors, ips, agents, sessions, credentials, objects []string
	projects, labels                                    []string
}

// How many different values the lists have.
const (
	numActors      = 2_000
	numIPs         = 5_000
	numAgents      = 300
	numSessions    = 20_000
	numCredentials = 3_000
	numObjects     = 50_000
	numProjects    = 200
	numLabels      = 40
)

func newMaker(o Options) *maker {
	r := rand.New(rand.NewPCG(o.Seed, 1))
	m := &maker{o: o}
	fill := func(n int, value func(i int) string) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = value(i)
		}
		return list
	}
	m.actors = fill(numActors, func(i int) string { return fmt.Sprintf("%s.%s%d", pick(r, firstNames), pick(r, lastNames), i) })
	m.ips = fill(numIPs, func(i int) string {
		if i%20 == 0 {
			return fmt.Sprintf("2001:db8:%x:%x::%x", r.IntN(1<<16), r.IntN(1<<16), i)
		}
		return fmt.Sprintf("%d.%d.%d.%d", 11+i%180, i/180, r.IntN(256), 1+r.IntN(254))
	})
	m.agents = fill(numAgents, func(i int) string {
		switch i % 3 {
		case 0:
			return fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.%d.%d Safari/537.36", 100+r.IntN(40), r.IntN(7000), i)
		case 1:
			return fmt.Sprintf("platform-sdk/%d.%d.%d Python/3.%d Linux/6.%d.0-%d-generic", r.IntN(4), r.IntN(400), i, 8+r.IntN(6), r.IntN(12), r.IntN(90))
		}
		return fmt.Sprintf("upload-agent/%d.%d.%d", 1+r.IntN(2), r.IntN(6), i)
	})
	m.sessions = fill(numSessions, func(int) string { return token(r, 20) })
	m.credentials = fill(numCredentials, func(int) string { return "AK" + token(r, 18) })
	m.objects = fill(numObjects, func(int) string { return token(r, 24) })
	m.projects = fill(numProjects, func(int) string { return "project-" + token(r, 24) })
	m.labels = fill(numLabels, func(i int) string { return fmt.Sprintf("pipeline token %d", i) })
	return m
}

func token(r *rand.Rand, n int) string {
	const letters = "0123456789BFGJKPQVXYZbfgjkpqvxyz"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

// pick prefers the values at the front of the list: the first tenth is taken about three times in ten.
func pick(r *rand.Rand, list []string) string {
	f := r.Float64()
	return list[int(f*f*float64(len(list)))]
}

func (m *maker) write(path string, from, to int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	var line []byte
	for i := from; i < to; i++ {
		line = append(m.line(line[:0], i), '\n')
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return w.Flush()
}

// line appends the i-th line of the day: its own event, or that of an earlier line once more.
func (m *maker) line(dst []byte, i int) []byte {
	back := 0
	if every := uint64(max(m.o.RepeatEvery, 1)); m.o.RepeatEvery > 0 && i > 0 {
		r := rand.New(rand.NewPCG(m.o.Seed^0x9e3779b97f4a7c15, uint64(i)))
		if r.Uint64N(every) == 0 {
			// Not beyond a minute of the day, so that the disorder stays within its bound.
			back = 1 + r.IntN(min(i, 1+m.o.Events/1440))
		}
	}
	return m.event(dst, i-back)
}

// event appends event i without a line feed. Its base time grows with i, its own time lies within four minutes of that.
func (m *maker) event(dst []byte, i int) []byte {
	r := rand.New(rand.NewPCG(m.o.Seed^0xd1b54a32d192ed03, uint64(i)))
	const spread = 4 * time.Minute
	base := m.o.Day.Start().Add(spread)
	span := 24*time.Hour - 2*spread
	at := base.Add(time.Duration(float64(span) * float64(i) / float64(m.o.Events)))
	at = at.Add(time.Duration(r.Int64N(int64(2*spread))) - spread).Truncate(time.Microsecond)

	actor, project, object := pick(r, m.actors), pick(r, m.projects), pick(r, m.objects)
	op := &operations[int(r.Float64()*r.Float64()*float64(len(operations)))]
	label := pick(r, m.labels)

	dst = append(dst, `{"id":"`...)
	dst = appendUUID(dst, r)
	dst = append(dst, `","time":"`...)
	dst = event.AppendTime(dst, at)
	dst = append(dst, `","type":"`...)
	dst = append(dst, op.kind...)
	dst = append(dst, `","action":"`...)
	dst = append(dst, op.name...)
	if r.IntN(12) > 0 {
		dst = append(dst, `","outcome":"success","severity":"info"`...)
	} else {
		dst = append(dst, `","outcome":"failure","error_code":"PermissionDenied","error_message":"VIEW is required in `...)
		dst = append(dst, project...)
		dst = append(dst, `","severity":"low"`...)
	}
	dst = appendMember(dst, "actor_id", "user-"+actor)
	dst = appendMember(dst, "ip", pick(r, m.ips))
	dst = appendMember(dst, "user_agent", pick(r, m.agents))
	dst = appendMember(dst, "session_id", pick(r, m.sessions))
	dst = append(dst, `,"request_id":"`...)
	dst = strconv.AppendInt(dst, at.UnixMilli(), 10)
	dst = append(dst, '-')
	dst = strconv.AppendUint(dst, uint64(r.Uint32N(1_000_000)), 10)
	dst = append(dst, '"')
	dst = appendMember(dst, "credential_id", pick(r, m.credentials))
	dst = appendMember(dst, "token_label", label)
	dst = appendMember(dst, "token_last4", object[:4])
	dst = appendMember(dst, "object_type", op.object)
	dst = appendMember(dst, "object_id", op.object+"-"+object)
	dst = appendMember(dst, "object_name", object[:6]+"_R1.fastq.gz")
	dst = appendMember(dst, "project_id", project)
	dst = appendMember(dst, "project_name", "Study "+project[8:12])
	dst = appendMember(dst, "region", regions[int(project[8])%len(regions)])
	dst = append(dst, `,"info":{"describe":{"size":`...)
	dst = strconv.AppendUint(dst, uint64(r.Uint32()), 10)
	dst = append(dst, `},"folder":"/runs/`...)
	dst = strconv.AppendInt(dst, int64(r.IntN(5000)), 10)
	dst = append(dst, `","limit":`...)
	dst = strconv.AppendInt(dst, int64(r.IntN(1000)), 10)
	return append(dst, '}', '}')
}

func appendMember(dst []byte, name, value string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return event.AppendQuoted(dst, value)
}

func appendUUID(dst []byte, r *rand.Rand) []byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], r.Uint64())
	binary.BigEndian.PutUint64(b[8:], r.Uint64())
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	for i, c := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
	}
	return dst
}

var (
	firstNames = []string{"ada", "alan", "barbara", "dennis", "donald", "edsger", "frances", "grace", "john", "ken", "leslie", "margaret", "niklaus", "radia", "tony"}
	lastNames  = []string{"allen", "cerf", "dijkstra", "hamilton", "hoare", "hopper", "kay", "knuth", "lamport", "liskov", "lovelace", "perlman", "ritchie", "turing", "wirth"}
	regions    = []string{"eu-central-1", "us-east-1", "ap-southeast-2", "eu-west-2"}
	operations = []struct{ name, kind, object string }{
		{"file-describe", "api.read", "file"}, {"project-describe", "api.read", "project"}, {"system-findDataObjects", "api.read", "project"},
		{"file-download", "data.download", "file"}, {"job-describe", "api.read", "job"}, {"project-listFolder", "api.read", "project"},
		{"file-new", "api.write", "file"}, {"file-upload", "data.upload", "file"}, {"file-close", "api.write", "file"},
		{"system-whoami", "api.read", "user"}, {"record-describe", "api.read", "record"}, {"analysis-describe", "api.read", "analysis"},
		{"applet-run", "api.write", "applet"}, {"workflow-run", "api.write", "workflow"}, {"job-getLog", "api.read", "job"},
		{"file-setProperties", "api.write", "file"}, {"file-addTags", "api.write", "file"}, {"project-clone", "data.copy", "project"},
		{"project-move", "api.write", "project"}, {"project-removeObjects", "data.delete", "project"}, {"job-terminate", "api.write", "job"},
		{"project-invite", "permission.grant", "project"}, {"project-decreasePermissions", "permission.revoke", "project"},
		{"user-login", "authentication.login", "user"}, {"user-logout", "authentication.logout", "user"}, {"token-new", "credential.create", "user"},
		{"token-revoke", "credential.revoke", "user"}, {"org-describe", "api.read", "org"}, {"org-invite", "permission.grant", "org"},
		{"org-removeMember", "permission.revoke", "org"}, {"org-update", "api.write", "org"}, {"database-describe", "api.read", "database"},
		{"database-query", "data.query", "database"}, {"container-describe", "api.read", "container"}, {"container-new", "api.write", "container"},
		{"app-describe", "api.read", "app"}, {"app-run", "api.write", "app"}, {"app-publish", "api.write", "app"},
		{"project-new", "api.write", "project"}, {"project-destroy", "data.delete", "project"},
	}
)
