package anchor

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"daybook/sink"
)

const (
	maxHeader = 64 << 10
	// excerpt is how much of what a server said of a fault is told.
	excerpt = 200
)

// client speaks HTTP with one server that the configuration names.
type client struct {
	http *http.Client
	url  string
}

// newClient returns a client that posts to the path below base; a blank path is base itself.
func newClient(base, path string, o Options) (*client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("not a URL: %w", errors.Unwrap(err))
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, fmt.Errorf("%q: must begin with https:// (or http://) and a host", u.Redacted())
	case u.User != nil || u.Fragment != "":
		return nil, errors.New("its URL must hold neither a user nor a fragment")
	case path != "" && u.RawQuery != "":
		return nil, errors.New("its URL must hold no query")
	}
	if path != "" {
		u = u.JoinPath(path)
	}
	transport := &http.Transport{
		Proxy:                  nil, // one from the environment could see and change what is sent, and nobody configured it
		DialContext:            newDialer().DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
		DisableKeepAlives:      true, // there is a roll an hour at most
	}
	return &client{&http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, u.String()}, nil
}

type answer struct {
	status      int
	contentType string
	body        []byte
}

// post sends body and reads an answer of at most limit bytes.
func (c *client) post(ctx context.Context, contentType string, body []byte, limit int64) (a answer, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("User-Agent", "daybook")
	response, err := c.http.Do(request)
	if err != nil {
		return answer{}, err // it names the URL
	}
	defer response.Body.Close() // it was read from
	data, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return answer{}, fmt.Errorf("%s: read the answer: %w", c.url, err)
	}
	if int64(len(data)) > limit {
		return answer{}, fmt.Errorf("%s: %w: over %d bytes", c.url, ErrAnswer, limit)
	}
	mediaType, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		mediaType = "" // like one that is missing
	}
	if response.StatusCode >= 300 && response.StatusCode < 400 {
		return answer{}, &sink.HintError{
			Err:  fmt.Errorf("%s: %w: it sends us elsewhere (%d)", c.url, ErrAnswer, response.StatusCode),
			Hint: "if that is right, write the new address into the configuration: redirects are not followed",
		}
	}
	return answer{response.StatusCode, mediaType, data}, nil
}

// said quotes what a server answered with a fault.
func (a answer) said() string {
	text := strings.TrimSpace(string(a.body))
	if text == "" {
		return fmt.Sprintf("status %d", a.status)
	}
	if len(text) > excerpt {
		text = text[:excerpt]
	}
	return fmt.Sprintf("status %d, %q", a.status, text)
}

// newDialer returns a dialer that refuses addresses where no anchor can be. It looks at the address that is dialled and not at the name, which can resolve to another
// address each time.
func newDialer() *net.Dialer {
	return &net.Dialer{Control: func(network, address string, _ syscall.RawConn) error {
		if strings.HasPrefix(network, "unix") {
			return nil
		}
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		// fd00:ec2::254 is where a cloud hands out credentials in IPv6; in IPv4 it is link-local.
		ip := at.Addr().WithZone("")
		if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip == netip.AddrFrom16([16]byte{0: 0xfd, 2: 0x0e, 3: 0xc2, 14: 0x02, 15: 0x54}) {
			return fmt.Errorf("%s: no anchor can have this address", ip)
		}
		return nil
	}}
}
