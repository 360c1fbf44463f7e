package receiver

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"daybook/batch/intake"
	"daybook/event"
)

// parameters are what a request asks for beside its body.
type parameters struct {
	format    string // blank: the default
	receipt   bool
	watermark time.Time // zero: none
	encoding  string    // gzip, zstd or blank
	key       string    // blank: none
}

// String tells requests apart that are for something else.
func (p *parameters) String() string {
	return fmt.Sprintf("%s %t %s %s", p.format, p.receipt, p.encoding, p.watermark.Format(time.RFC3339Nano))
}

// readParameters reads them, or says why they can't be.
func readParameters(r *http.Request, now time.Time) (p parameters, refused *reply) {
	if p, refused = readQuery(r); refused != nil {
		return p, refused
	}
	bad := func(name, must string) *reply {
		return refuse(http.StatusBadRequest, fmt.Sprintf("the header %s must be %s", name, must), "")
	}
	for _, h := range []struct {
		name, must string
		read       func(string) bool
	}{
		{"Daybook-Receipt", "true or false", func(s string) bool {
			asked, err := strconv.ParseBool(s)
			p.receipt = p.receipt || asked
			return err == nil
		}},
		{"Idempotency-Key", "1 to 255 visible ASCII characters", func(s string) bool {
			p.key = s
			return s != "" && len(s) <= 255 && strings.IndexFunc(s, func(r rune) bool { return r < '!' || r > '~' }) < 0
		}},
		{"Daybook-Watermark", "a time that is not in the future, as RFC 3339 like 2026-03-10T09:30:00Z", func(s string) bool {
			t, ok := event.ParseTime(s)
			p.watermark = t
			return ok && t.Year() >= 1 && !t.IsZero() && !t.After(now.Add(intake.FutureTolerance))
		}},
	} {
		values := r.Header.Values(h.name)
		if len(values) > 1 || len(values) == 1 && !h.read(values[0]) {
			return p, bad(h.name, h.must)
		}
	}
	encodings := r.Header.Values("Content-Encoding")
	if len(encodings) == 1 {
		p.encoding = strings.ToLower(strings.TrimSpace(encodings[0]))
	}
	switch p.encoding {
	case "x-gzip":
		p.encoding = "gzip"
	case "identity":
		p.encoding = ""
	}
	if len(encodings) > 1 || p.encoding != "" && p.encoding != "gzip" && p.encoding != "zstd" {
		refused = refuse(http.StatusUnsupportedMediaType, "a body of this Content-Encoding is not read", "gzip, zstd or none at all")
		refused.header = [2]string{"Accept-Encoding", "gzip, zstd"}
		return p, refused
	}
	return p, nil
}

func readQuery(r *http.Request) (p parameters, refused *reply) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return p, refuse(http.StatusBadRequest, "the query can't be read", "")
	}
	for name, values := range query {
		if len(values) > 1 {
			return p, refuse(http.StatusBadRequest, fmt.Sprintf("the parameter %.40q is given twice", name), "").because("a parameter is given twice")
		}
		switch name {
		case "format":
			p.format = values[0]
			if !readable(p.format) {
				return p, refuse(http.StatusUnsupportedMediaType, fmt.Sprintf("the format %.40q is not read", p.format),
					fmt.Sprintf("%s or %s", strings.Join(intake.Names(), ", "), intake.Auto)).because("the format is not read")
			}
		case "receipt":
			if p.receipt, err = strconv.ParseBool(values[0]); err != nil {
				return p, refuse(http.StatusBadRequest, "the parameter receipt must be true or false", "")
			}
		default:
			return p, refuse(http.StatusBadRequest, fmt.Sprintf("there is no parameter %.40q", name), "format and receipt are known").because("there is no such parameter")
		}
	}
	return p, nil
}

// maxToken is how long a bearer token may be, in bytes.
const maxToken = 4096

// authenticate tells who sends, or refuses.
func (h *Handler) authenticate(r *http.Request) (Sender, *reply) {
	var (
		sender Sender
		err    error
	)
	switch given := r.Header.Values("Authorization"); {
	case len(given) == 1:
		scheme, token, _ := strings.Cut(given[0], " ")
		token = strings.TrimSpace(token)
		if !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxToken {
			return Sender{}, unauthorised("the header Authorization must be: Bearer, and a token", `Bearer realm="daybook", error="invalid_request"`)
		}
		sender, err = h.auth.Token(token)
	case len(given) > 1:
		return Sender{}, unauthorised("the header Authorization is given twice", `Bearer realm="daybook", error="invalid_request"`)
	case r.TLS != nil && len(r.TLS.VerifiedChains) > 0:
		sender, err = h.auth.Certificate(r.TLS.VerifiedChains[0][0])
	default:
		return Sender{}, unauthorised("there is no credential", `Bearer realm="daybook"`)
	}
	switch {
	case err == nil:
		return sender, nil
	case errors.Is(err, ErrUnknown):
		return Sender{}, unauthorised("the credential is not known", `Bearer realm="daybook", error="invalid_token"`)
	case errors.Is(err, ErrExpired):
		return Sender{}, refuse(http.StatusForbidden, "the credential has expired", "ask for another")
	case errors.Is(err, ErrRevoked):
		return Sender{}, refuse(http.StatusForbidden, "the credential was revoked", "ask for another")
	case errors.Is(err, ErrDenied):
		return Sender{}, refuse(http.StatusForbidden, "the credential may not send events", "")
	}
	refused := refuse(http.StatusServiceUnavailable, "credentials can't be checked for the time being", hintAgain).after(retryDown)
	refused.cause = err
	return Sender{}, refused
}

func unauthorised(why, challenge string) *reply {
	refused := refuse(http.StatusUnauthorized, why, "send Authorization: Bearer and a token of yours, or use a client certificate")
	refused.header = [2]string{"WWW-Authenticate", challenge}
	return refused
}
