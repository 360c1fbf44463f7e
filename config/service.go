package config

import (
	"net"
	"path/filepath"
	"time"
	_ "time/tzdata" // a container has no time zones of its own

	"github.com/robfig/cron/v3"
)

// Service is the standing service.
type Service struct {
	Listen       string `yaml:"listen" default:"127.0.0.1:8470" doc:"The address and port that it serves. Without a certificate only this machine may be."`
	CertFile     string `yaml:"cert_file" form:"path" doc:"The server's certificate and the chain above it, PEM. It is read again when it changes."`
	KeyFile      string `yaml:"key_file" form:"path" doc:"The key of cert_file, PEM."`
	ClientCAFile string `yaml:"client_ca_file" form:"path" doc:"A PEM file of the certificate authorities that vouch for the certificates of senders and admins."`
	PlainHTTP    bool   `yaml:"plain_http" default:"false" doc:"Serve plain HTTP to other machines: only behind a proxy that ends TLS, since tokens can be read on the way."`

	Senders []Sender `yaml:"senders" default:"[]" doc:"Certificates that may send events. Tokens are made by daybook token create."`
	Admins  []Admin  `yaml:"admins" default:"[]" doc:"Certificates that may administer. Tokens of admins are made by daybook admin create."`

	Schedule string   `yaml:"schedule" default:"'*/10 * * * *'" doc:"When to look for days that are due, as cron writes it: minute, hour, day, month, weekday; or @hourly, @every 10m. It never says which days they are."`
	Verify   string   `yaml:"verify" default:"'30 4 * * *'" doc:"When to read back what was sealed within spool.keep, as cron writes it; never for no time. It takes the right to list the store and to read versions."`
	TimeZone string   `yaml:"time_zone" default:"UTC" doc:"The time zone of schedule and verify, e.g. Europe/Vienna."`
	CoolOff  Duration `yaml:"cool_off" default:"1h" min:"0s" max:"30d" doc:"How long after its approval a trail's disabling takes effect."`

	MaxBody     Size     `yaml:"max_body" default:"64MiB" min:"1KiB" max:"4GiB" doc:"The longest body of a request, as it is sent, and uncompressed sixteen times as much."`
	MaxRequests int      `yaml:"max_requests" default:"256" min:"1" max:"100000" doc:"How many requests that send events are served at a time; one more is told to come again (429). So is one for whose body there is no room in the 512 MiB that all of them share."`
	Rate        int      `yaml:"rate" default:"0" min:"0" max:"100000000" doc:"Events a second that each sender may send; 0 sets no limit."`
	BodyTimeout Duration `yaml:"body_timeout" default:"30s" min:"1s" max:"1h" doc:"A body that makes no progress for so long is given up."`
	Drain       Duration `yaml:"drain" default:"25s" min:"0s" max:"1h" doc:"How long requests and a seal may take to end when the service stops. What does not end in time is finished at the next start."`

	LogFormat string `yaml:"log_format" default:"text" enum:"text,json" doc:"How the service's own log is written, to standard error."`
	LogLevel  string `yaml:"log_level" default:"info" enum:"debug,info,warn,error" doc:"From which level on it is."`

	Drop   []Drop   `yaml:"drop" default:"[]" doc:"Folders that files of events are moved into. A file must be renamed into one, whole; it is taken in and moved on to done/ in there."`
	Follow []Follow `yaml:"follow" default:"[]" doc:"Folders or S3 prefixes of files that are only read, such as CloudTrail's: each file is taken in once, by key and ETag."`
}

// Sender is a certificate that may send events.
type Sender struct {
	Certificate string `yaml:"certificate" required:"true" form:"name" doc:"The certificate's common name, or a DNS or URI name of it."`
	Org         string `yaml:"org" required:"true" form:"name" doc:"The org whose events it sends."`
	Source      string `yaml:"source" required:"true" form:"name" doc:"The feed that they come from."`
}

// Admin is a certificate that may administer.
type Admin struct {
	Certificate string `yaml:"certificate" required:"true" form:"name" doc:"The certificate's common name, or a DNS or URI name of it."`
	Name        string `yaml:"name" required:"true" form:"name" doc:"What the admin is called in the trail."`
	Role        string `yaml:"role" default:"admin" enum:"admin,viewer" doc:"admin may do everything within the org, viewer only look."`
	Org         string `yaml:"org" default:"'*'" form:"name" doc:"The org that is administered; * is all of them."`
}

// Drop is a folder that files of events are moved into.
type Drop struct {
	Path   string `yaml:"path" required:"true" form:"path" doc:"The folder."`
	Org    string `yaml:"org" required:"true" form:"name" doc:"The org whose events they are."`
	Source string `yaml:"source" required:"true" form:"name" doc:"The feed that they come from."`
	From   string `yaml:"from" default:"auto" enum:"auto,jsonl,cloudtrail" doc:"Their format."`
}

// Follow is a folder or an S3 prefix of files that are only read.
type Follow struct {
	URL    string   `yaml:"url" required:"true" form:"url" doc:"A folder, file:///folder, or s3://bucket/prefix."`
	Org    string   `yaml:"org" required:"true" form:"name" doc:"The org whose events they are."`
	Source string   `yaml:"source" required:"true" form:"name" doc:"The feed that they come from."`
	From   string   `yaml:"from" default:"auto" enum:"auto,jsonl,cloudtrail" doc:"Their format."`
	Every  Duration `yaml:"every" default:"1m" min:"1s" max:"1d" doc:"How often to look for new ones."`

	Endpoint  string `yaml:"endpoint" doc:"S3: the server. Empty: AWS, or what the AWS environment says."`
	Region    string `yaml:"region" form:"ascii" doc:"S3: the bucket's region."`
	PathStyle bool   `yaml:"path_style" default:"false" doc:"S3: put the bucket in the path instead of the host name."`
	CAFile    string `yaml:"ca_file" form:"path" doc:"S3: a PEM file of the certificate authorities that vouch for the server, beside the system's."`
	Profile   string `yaml:"profile" form:"name" doc:"S3: the profile of the shared AWS configuration and credentials."`
}

func (v *validator) service(s *Service) {
	v.listen(s)
	if _, err := time.LoadLocation(s.TimeZone); err != nil {
		v.fault("service.time_zone", "write it as in Europe/Vienna, or leave it out: then it is UTC", "%q is no time zone", s.TimeZone)
	}
	for _, t := range []struct{ key, text string }{{"service.schedule", s.Schedule}, {"service.verify", s.Verify}} {
		if t.key == "service.verify" && t.text == Never {
			continue
		}
		if when, err := cron.ParseStandard(t.text); err != nil || when.Next(time.Now()).IsZero() {
			v.fault(t.key, "five fields (minute, hour, day, month, weekday), as in */10 * * * *, or @hourly, @every 10m", "%q is no schedule", t.text)
		}
	}
	v.certificates(s)
	fed := feeds{}
	dropped := map[string]int{}
	for i := range s.Drop {
		d, at := &s.Drop[i], element("service.drop", i)
		v.source(at, d.Source)
		v.feed(fed, at, d.Org, d.Source)
		if first, ok := dropped[filepath.Clean(d.Path)]; ok && d.Path != "" {
			v.fault(at+".path", "a folder belongs to one source", "the same folder as service.drop[%d]", first)
			continue
		}
		dropped[filepath.Clean(d.Path)] = i
	}
	followed := map[string]int{}
	for i := range s.Follow {
		f, at := &s.Follow[i], element("service.follow", i)
		v.source(at, f.Source)
		v.follow(at, f)
		v.feed(fed, at, f.Org, f.Source)
		if first, ok := followed[f.Endpoint+" "+f.URL]; ok && f.URL != "" {
			v.fault(at+".url", "a place belongs to one source", "the same place as service.follow[%d]", first)
			continue
		}
		followed[f.Endpoint+" "+f.URL] = i
	}
}

// feeds are the folders and places of an org's sources.
type feeds map[[2]string]string

// feed wants each folder and place to have a source of its own. A day waits until its sources have come past its end, and how far a source has come is told by its newest event:
// that of one folder says nothing of what lies in another.
func (v *validator) feed(fed feeds, at, org, source string) {
	v.oneOrg(at, org)
	if org == "" || source == "" {
		return
	}
	key := [2]string{org, source}
	if first, ok := fed[key]; ok {
		v.fault(at+".source", "give each its own source: a day is sealed when every source has come past its end, and one of them could be unread then", "%q is the source of %s, too", source, first)
		return
	}
	fed[key] = at
}

// listen keeps tokens from going over a network in plain text unless that was asked for.
func (v *validator) listen(s *Service) {
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil || port == "" {
		v.fault("service.listen", "write an address and a port, e.g. 0.0.0.0:8470", "%q is no address with a port", s.Listen)
		return
	}
	switch tls := s.CertFile != ""; {
	case tls != (s.KeyFile != ""):
		v.fault("service.cert_file", "write both, or neither", "a certificate needs its key, and a key its certificate")
	case tls && s.PlainHTTP:
		v.fault("service.plain_http", "remove it, or the certificate", "a certificate is given, and so HTTP would not be plain")
	case !tls && !s.PlainHTTP && !loopback(host):
		v.fault("service.listen", "give it cert_file and key_file; behind a proxy that ends TLS write plain_http: true; or listen on 127.0.0.1",
			"%q serves other machines, and there is no certificate: tokens could be read on the way", s.Listen)
	}
	if s.ClientCAFile != "" && s.CertFile == "" {
		v.fault("service.client_ca_file", "give cert_file and key_file, too", "certificates of clients need TLS")
	}
	for _, list := range []struct {
		key string
		n   int
	}{{"service.senders", len(s.Senders)}, {"service.admins", len(s.Admins)}} {
		if list.n > 0 && s.ClientCAFile == "" {
			v.fault(list.key, "write service.client_ca_file", "nobody vouches for these certificates")
		}
	}
}

// Never is the schedule of what is not to be done.
const Never = "never"

// ownSource is the source of Daybook's own events, which nobody else may send.
const ownSource = "daybook"

func (v *validator) source(at, name string) {
	if name == ownSource {
		v.fault(at+".source", "give the feed another name", "%q is the source of Daybook's own events", name)
	}
}

// oneOrg wants the org of what the service is sent to be one.
func (v *validator) oneOrg(at, org string) {
	if org == AllOrgs {
		v.fault(at+".org", "write the org whose events they are, a sender, a folder or a place for each", "%q is every org, and what the service is sent is one org's", org)
	}
}

func (v *validator) certificates(s *Service) {
	seen := map[string]string{}
	check := func(at, name string) {
		if first, ok := seen[name]; ok && name != "" {
			v.fault(at+".certificate", "a certificate has one purpose", "%q is named by %s, too", name, first)
			return
		}
		seen[name] = at
	}
	for i := range s.Senders {
		check(element("service.senders", i), s.Senders[i].Certificate)
		v.source(element("service.senders", i), s.Senders[i].Source)
		v.oneOrg(element("service.senders", i), s.Senders[i].Org)
	}
	for i := range s.Admins {
		check(element("service.admins", i), s.Admins[i].Certificate)
	}
}

func (v *validator) follow(at string, f *Follow) {
	if v.urlAt(at+".url", f.URL) != folder {
		return
	}
	for _, option := range []struct {
		key string
		set bool
	}{
		{"endpoint", f.Endpoint != ""}, {"region", f.Region != ""}, {"path_style", f.PathStyle}, {"ca_file", f.CAFile != ""}, {"profile", f.Profile != ""},
	} {
		if option.set {
			v.fault(at+"."+option.key, "remove it", "has no effect: %s is a folder", f.URL)
		}
	}
}
