package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"daybook/batch"
	"daybook/batch/anchor"
	"daybook/batch/control"
	"daybook/batch/seal"
	"daybook/batch/spool"
	"daybook/batch/tlog"
	"daybook/event"
	"daybook/formats"
	"daybook/sink"
)

// The API. Bodies and answers are JSON; an answer that is an error is {"error": …, "hint": …}.
//
//	POST   /v1/events                       send events (see package receiver)            sender
//	GET    /v1/status                       how all stands; ?trail= one, ?days= calendar  viewer
//	GET    /v1/trails                       what is switched on                           viewer
//	POST   /v1/trails/{trail}/enable        EnableRequest                                 admin
//	POST   /v1/trails/{trail}/disable       DisableRequest                                admin
//	POST   /v1/trails/{trail}/approve       the disabling that another admin requested    admin
//	POST   /v1/trails/{trail}/reads         control.Reading, before it is read            viewer
//	POST   /v1/trails/{trail}/hold          HoldRequest: a legal hold on days             admin
//	POST   /v1/trails/{trail}/release       HoldRequest: the end of one                   admin
//	POST   /v1/trails/{trail}/extend        ExtendRequest: longer locks                   admin
//	GET    /v1/tokens                       the tokens of senders                         admin
//	POST   /v1/tokens                       TokenRequest                                  admin
//	DELETE /v1/tokens/{id}                  ?reason=                                      admin
//	GET    /v1/admins                                                                     admin
//	POST   /v1/admins                       AdminRequest                                  admin
//	DELETE /v1/admins/{name}                ?reason=                                      admin
//	POST   /v1/roll                         seal what is due now; ?all=true what is closed  admin of *
//	                                        ?take_over=true, and go on from another's log
//	POST   /v1/reconcile                    count all events anew                         admin of *
//	POST   /v1/bucket/accept                AcceptRequest: take for right how the bucket is set up  admin of *
//	POST   /v1/import                       take a file of events in                      on this machine only
//	GET    /v1/backup                       a backup of the data folder                   on this machine only
//	GET    /healthz, /readyz                no credential
//	GET    /metrics                         viewer, or this machine
func (s *Service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/events", s.receive)
	for pattern, h := range map[string]func(*http.Request, control.Actor) (any, error){
		"GET /v1/status":                  s.getStatus,
		"GET /v1/trails":                  s.getTrails,
		"POST /v1/trails/{trail}/enable":  s.enableTrail,
		"POST /v1/trails/{trail}/disable": s.disableTrail,
		"POST /v1/trails/{trail}/approve": s.approveTrail,
		"POST /v1/trails/{trail}/reads":   s.postRead,
		"POST /v1/trails/{trail}/hold":    s.putHold,
		"POST /v1/trails/{trail}/release": s.releaseHold,
		"POST /v1/trails/{trail}/extend":  s.extend,
		"GET /v1/tokens":                  s.getTokens,
		"POST /v1/tokens":                 s.createToken,
		"DELETE /v1/tokens/{id}":          s.revokeToken,
		"GET /v1/admins":                  s.getAdmins,
		"POST /v1/admins":                 s.createAdmin,
		"DELETE /v1/admins/{name}":        s.revokeAdmin,
		"POST /v1/roll":                   s.postRoll,
		"POST /v1/reconcile":              s.postReconcile,
		"POST /v1/bucket/accept":          s.postAcceptBucket,
	} {
		mux.HandleFunc(pattern, s.administer(h, maxRequest))
	}
	mux.HandleFunc("POST /v1/import", s.administer(s.postImport, math.MaxInt64))
	mux.HandleFunc("GET /v1/backup", s.backup)
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /readyz", s.readiness)
	mux.HandleFunc("GET /metrics", s.serveMetrics)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		refused := &refusedWriter{header: http.Header{}}
		mux.ServeHTTP(refused, r)
		p := problem{Error: fmt.Sprintf("there is nothing at %s", r.URL.Path), Hint: "events are sent to POST /v1/events"}
		if allow := refused.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			p = problem{Error: fmt.Sprintf("%s does not take %s", r.URL.Path, r.Method), Hint: "it takes " + allow}
		}
		answer(w, refused.code, p)
	})
}

// refusedWriter keeps what the mux says of a request that it has no handler for.
type refusedWriter struct {
	header http.Header
	code   int
}

func (w *refusedWriter) Header() http.Header         { return w.header }
func (w *refusedWriter) WriteHeader(code int)        { w.code = code }
func (w *refusedWriter) Write(p []byte) (int, error) { return len(p), nil }

type problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // whoever asked is gone
}

// administer serves a request of an admin or viewer.
func (s *Service) administer(h func(*http.Request, control.Actor) (any, error), limit int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		by, err := s.actor(r)
		if err == nil {
			r.Body = http.MaxBytesReader(w, r.Body, limit)
			var v any
			if v, err = h(r, by); err == nil {
				answer(w, http.StatusOK, v)
				return
			}
		}
		code := statusOf(err)
		if code == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="daybook"`)
		}
		p := problem{Error: err.Error()}
		var hint *sink.HintError
		if errors.As(err, &hint) {
			p.Hint = hint.Hint
		}
		answer(w, code, p)
	}
}

// maxRequest is how long the body of an admin's request may be.
const maxRequest = 1 << 20

// errNobody says that a request bears no credential.
var errNobody = errors.New("who asks is not known")

func statusOf(err error) int {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, errNobody), errors.Is(err, control.ErrUnknown):
		return http.StatusUnauthorized
	case errors.Is(err, control.ErrDenied), errors.Is(err, control.ErrSelfApproval), errors.Is(err, control.ErrExpired), errors.Is(err, control.ErrRevoked),
		errors.Is(err, control.ErrWrongKind):
		return http.StatusForbidden
	case errors.Is(err, control.ErrNotFound), errors.Is(err, batch.ErrNoHold), errors.Is(err, batch.ErrNoTrail):
		return http.StatusNotFound
	case errors.Is(err, control.ErrExists), errors.Is(err, control.ErrUnchanged), errors.Is(err, sink.ErrConflict), errors.Is(err, batch.ErrBehind),
		errors.Is(err, tlog.ErrAhead), errors.Is(err, tlog.ErrForked), errors.Is(err, tlog.ErrUnknownKey), errors.Is(err, tlog.ErrKeyRange),
		errors.Is(err, anchor.ErrForked), errors.Is(err, anchor.ErrAhead), errors.Is(err, errLooked):
		return http.StatusConflict
	case errors.Is(err, control.ErrInvalid), errors.Is(err, errRequest), errors.Is(err, tlog.ErrLeaf), errors.Is(err, batch.ErrNotLonger), errors.Is(err, batch.ErrTooLong):
		return http.StatusBadRequest
	case errors.Is(err, spool.ErrFull):
		return http.StatusInsufficientStorage
	case errors.Is(err, control.ErrStopped), errors.Is(err, ErrHeld), errors.Is(err, spool.ErrStopped):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// actor tells who asks: by an admin's token or certificate, or by having the data folder in hand.
func (s *Service) actor(r *http.Request) (control.Actor, error) {
	if secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return s.control.Admin(strings.TrimSpace(secret))
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		mine := names(r.TLS.VerifiedChains[0][0])
		for _, a := range s.config.Load().Admins {
			for _, name := range mine {
				if name != "" && a.Certificate == name {
					return control.Actor{Name: a.Name, Role: a.Role, Org: a.Org, Via: control.ViaCertificate}, nil
				}
			}
		}
		return control.Actor{}, &sink.HintError{Err: fmt.Errorf("the certificate of %s: %w", mine[0], control.ErrDenied), Hint: "name it in service.admins"}
	}
	if isLocal(r) {
		return control.Local, nil
	}
	return control.Actor{}, &sink.HintError{Err: errNobody, Hint: "send an admin's token (Authorization: Bearer …) or certificate; `daybook admin create` makes a token"}
}

// errRequest says that a request's body is not what it should be.
var errRequest = errors.New("not a valid request")

func readRequest(r *http.Request, into any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", errRequest, err)
	}
	return nil
}

// sees reports whether an actor may look at what is of an org.
func sees(by control.Actor, org string) bool {
	return by.Org == "*" || by.Org == org || by == control.Local
}

// EnableRequest switches a trail on. Where the configuration declares the trail, the rest of it stands there.
type EnableRequest struct {
	Org      string   `json:"org,omitempty"`
	Projects []string `json:"projects,omitempty"`
	Formats  []string `json:"formats,omitempty"`
	Split    string   `json:"split,omitempty"`
	MaxSplit int      `json:"max_split,omitempty"`
	// Since admits a backfill: the first day that is kept; absent: from now on.
	Since *seal.Date `json:"since,omitempty"`
}

func (s *Service) enableTrail(r *http.Request, by control.Actor) (any, error) {
	var in EnableRequest
	if err := readRequest(r, &in); err != nil {
		return nil, err
	}
	spec, err := s.spec(by, r.PathValue("trail"), &in)
	if err != nil {
		return nil, err
	}
	if _, known := s.control.Trail(spec.Name); !known && len(s.control.Trails()) >= maxEnabled {
		return nil, &sink.HintError{Err: fmt.Errorf("%d trails were enabled here: %w", maxEnabled, control.ErrExists), Hint: "give more orgs an installation of their own"}
	}
	// What the configuration declares holds, and is to be known of a trail that was enabled before that was recorded.
	if err := s.declare(s.config.Load()); err != nil {
		return nil, err
	}
	since, backfill := event.DayOf(s.now()), in.Since != nil
	if backfill {
		since = in.Since.Day
	}
	// Events that say they are older are filed under the day on which they come: days before would each be sealed empty, and nobody could undo that.
	if first := event.DayOf(s.config.Load().Reading.PlausibleAfter); backfill && since < first {
		return nil, &sink.HintError{Err: fmt.Errorf("%w: no event is filed under a day before %v, and %v is asked for", errRequest, first, since), Hint: "give a later day, or change plausible_after in the configuration"}
	}
	err = s.control.Enable(by, spec, since, backfill)
	if errors.Is(err, control.ErrUnchanged) { // as it was asked for, and nothing is recorded
		t, _ := s.control.Trail(spec.Name)
		on := s.switchOf(t)
		on.Already = true
		return on, nil
	}
	if err != nil {
		return nil, err
	}
	return s.afterChange(spec.Name)
}

// maxEnabled is how many trails may be enabled: fewer than the spool has numbers for, so that nobody can keep the service from starting.
const maxEnabled = 50_000

// spec is what a trail is: what the configuration declares, or else what is asked for, or what the trail was when it was enabled before.
func (s *Service) spec(by control.Actor, name string, in *EnableRequest) (control.TrailSpec, error) {
	for _, t := range s.config.Load().Batch.Trails {
		if t.Name != name {
			continue
		}
		if t.Org == "" { // a sender's org is its credential's, so that no trail takes whatever comes
			kept, _ := s.control.Trail(name)
			if t.Org = cmp.Or(kept.Spec.Org, in.Org); t.Org == "" {
				return control.TrailSpec{}, &sink.HintError{
					Err:  fmt.Errorf("the configuration has the trail %q take the events of every org, and a trail of the service is one org's: %w", name, errRequest),
					Hint: "write its org in the configuration (trails, org), or say with --org whose events it is to hold",
				}
			}
		}
		if !sees(by, t.Org) {
			if sees(by, in.Org) {
				return control.TrailSpec{}, &sink.HintError{Err: fmt.Errorf("%w: the name %s is taken", control.ErrExists, name), Hint: "choose another name"}
			}
			break // as if it were not there
		}
		if in.Org != "" && in.Org != t.Org || in.Projects != nil || in.Formats != nil || in.Split != "" || in.MaxSplit != 0 {
			return control.TrailSpec{}, &sink.HintError{
				Err: fmt.Errorf("the trail %q is declared in the configuration: %w", name, errRequest), Hint: "change it there; enabling takes --since alone",
			}
		}
		return declared(&t), nil
	}
	if t, ok := s.control.Trail(name); ok && sees(by, t.Spec.Org) && in.Org == "" && in.Projects == nil && in.Formats == nil && in.Split == "" && in.MaxSplit == 0 {
		return t.Spec, nil
	}
	if in.Org == "" {
		return control.TrailSpec{}, &sink.HintError{
			Err: fmt.Errorf("the configuration declares no trail %q: %w", name, errRequest), Hint: "say with --org whose events it is to hold, or declare it",
		}
	}
	spec := control.TrailSpec{Name: name, Org: in.Org, Projects: in.Projects, Formats: in.Formats, Split: in.Split, MaxSplit: in.MaxSplit}
	if spec.Split == "" {
		spec.Split = "org"
	}
	if len(spec.Formats) == 0 {
		for _, f := range formats.All() {
			spec.Formats = append(spec.Formats, f.Name)
		}
	}
	if _, err := trailOf(spec); err != nil || spec.Split != "org" && spec.Split != "project" || spec.MaxSplit < 0 || spec.MaxSplit > defaultMaxSplit {
		return spec, fmt.Errorf("%w: formats are jsonl, csv, parquet, cef and syslog, split is org or project, max_split at most %d", errRequest, defaultMaxSplit)
	}
	return spec, nil
}

// afterChange has a change take effect, and returns the trail.
func (s *Service) afterChange(trail string) (any, error) {
	if err := s.refresh(); err != nil {
		return nil, err
	}
	s.wake()
	t, _ := s.control.Trail(trail)
	return s.switchOf(t), nil
}

// DisableRequest asks for a trail to be switched off.
type DisableRequest struct {
	Reason string `json:"reason"`
	// Until is when the trail comes back by itself; absent: it stays off.
	Until *time.Time `json:"until,omitempty"`
}

func (s *Service) disableTrail(r *http.Request, by control.Actor) (any, error) {
	var in DisableRequest
	if err := readRequest(r, &in); err != nil {
		return nil, err
	}
	var until time.Time
	if in.Until != nil {
		until = *in.Until
	}
	if err := s.control.RequestDisable(by, r.PathValue("trail"), in.Reason, until); err != nil {
		return nil, err
	}
	return s.afterChange(r.PathValue("trail"))
}

func (s *Service) approveTrail(r *http.Request, by control.Actor) (any, error) {
	if err := s.control.Approve(by, r.PathValue("trail")); err != nil {
		return nil, err
	}
	return s.afterChange(r.PathValue("trail"))
}

// postRead records that files of a trail are about to be read. It answers once that is on stable storage.
func (s *Service) postRead(r *http.Request, by control.Actor) (any, error) {
	var in control.Reading
	if err := readRequest(r, &in); err != nil {
		return nil, err
	}
	if err := s.control.Read(by, r.PathValue("trail"), in); err != nil {
		return nil, err
	}
	return struct{}{}, s.refresh()
}

// TokenRequest makes a sender's token.
type TokenRequest struct {
	Org    string `json:"org"`
	Source string `json:"source"`
	// Expires is when it is valid no more; absent: never.
	Expires *time.Time `json:"expires,omitempty"`
}

// Made is a token that was made: the one time that it is shown.
type Made struct {
	ID     string `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
	Secret string `json:"secret"`
	// Warning says that what it sends would not be kept, and Hint what to do; blank if it would.
	Warning string `json:"warning,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

func (s *Service) createToken(r *http.Request, by control.Actor) (any, error) {
	var in TokenRequest
	if err := readRequest(r, &in); err != nil {
		return nil, err
	}
	var expires time.Time
	if in.Expires != nil {
		expires = *in.Expires
	}
	token, secret, err := s.control.CreateToken(by, in.Org, in.Source, expires)
	if err != nil {
		return nil, err
	}
	made := Made{ID: token.ID, Secret: secret.Reveal()}
	on := func(t control.TrailState) bool { return t.Spec.Org == token.Org && t.State != control.Off }
	if !slices.ContainsFunc(s.control.Trails(), on) {
		made.Warning = fmt.Sprintf("no trail of the org %q is on: what the token sends is answered as not tracked, and is not kept", token.Org)
		made.Hint = "see whether the org is written right; `daybook trail enable` switches a trail of it on"
	}
	return made, s.refresh()
}

func (s *Service) revokeToken(r *http.Request, by control.Actor) (any, error) {
	if err := s.control.RevokeToken(by, r.PathValue("id"), r.URL.Query().Get("reason")); err != nil {
		return nil, err
	}
	return struct{}{}, s.refresh()
}

// administrator refuses a viewer.
func administrator(by control.Actor) error {
	if by.Role == control.RoleAdmin {
		return nil
	}
	return &sink.HintError{Err: fmt.Errorf("%s has the role %s: %w", by.Name, by.Role, control.ErrDenied), Hint: "this takes an admin; a viewer looks at the status"}
}

func (s *Service) getTokens(_ *http.Request, by control.Actor) (any, error) {
	if err := administrator(by); err != nil {
		return nil, err
	}
	list := []control.Token{}
	for _, t := range s.control.Tokens() {
		if sees(by, t.Org) {
			list = append(list, t)
		}
	}
	return list, nil
}

// AdminRequest makes an admin's token.
type AdminRequest struct {
	Name    string     `json:"name"`
	Role    string     `json:"role"`
	Org     string     `json:"org"`
	Expires *time.Time `json:"expires,omitempty"`
}

func (s *Service) createAdmin(r *http.Request, by control.Actor) (any, error) {
	in := AdminRequest{Role: control.RoleAdmin, Org: "*"}
	if err := readRequest(r, &in); err != nil {
		return nil, err
	}
	var expires time.Time
	if in.Expires != nil {
		expires = *in.Expires
	}
	secret, err := s.control.CreateAdmin(by, in.Name, in.Role, in.Org, expires)
	if err != nil {
		return nil, err
	}
	return Made{Name: in.Name, Secret: secret.Reveal()}, s.refresh()
}

func (s *Service) revokeAdmin(r *http.Request, by control.Actor) (any, error) {
	if err := s.control.RevokeAdmin(by, r.PathValue("name"), r.URL.Query().Get("reason")); err != nil {
		return nil, err
	}
	return struct{}{}, s.refresh()
}

func (s *Service) getAdmins(_ *http.Request, by control.Actor) (any, error) {
	if err := administrator(by); err != nil {
		return nil, err
	}
	list := []control.Admin{}
	for _, a := range s.control.Admins() {
		if sees(by, a.Org) {
			list = append(list, a)
		}
	}
	return list, nil
}

// whole refuses who may not do what concerns every org.
func whole(by control.Actor) error {
	if by == control.Local || by.Org == "*" && by.Role == control.RoleAdmin {
		return nil
	}
	return &sink.HintError{Err: fmt.Errorf("it concerns every org: %w", control.ErrDenied), Hint: "an admin of org * may"}
}

func (s *Service) postRoll(r *http.Request, by control.Actor) (any, error) {
	if err := whole(by); err != nil {
		return nil, err
	}
	roll := func(ctx context.Context) error { return s.Roll(ctx, r.URL.Query().Get("all") == "true") }
	if r.URL.Query().Get("take_over") == "true" {
		roll = s.TakeOver
	}
	if err := roll(r.Context()); err != nil {
		return nil, err
	}
	return s.getStatus(r, by)
}

func (s *Service) postReconcile(r *http.Request, by control.Actor) (any, error) {
	if err := whole(by); err != nil {
		return nil, err
	}
	return s.Reconcile(r.Context())
}

// Reconcile counts all events anew. A fault holds sealing from then on.
func (s *Service) Reconcile(ctx context.Context) ([]batch.Reconciled, error) {
	list, err := s.standing.Reconcile(ctx)
	if err != nil {
		return nil, err
	}
	s.metrics.reconciled(list)
	for _, r := range list {
		if r.Fault != "" {
			_ = s.waits(batch.Unbalanced(r.Trail, r.Fault)) // told in the list
		}
	}
	return list, nil
}
