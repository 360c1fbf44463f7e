package s3

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"gopkg.in/ini.v1"
)

const awsHost = "s3.amazonaws.com"

// settings are Options with the environment and the shared files taken in.
type settings struct {
	host      string
	secure    bool
	region    string
	creds     *credentials.Credentials
	transport http.RoundTripper
	clock     *clock
}

func resolve(opts *Options) (settings, error) {
	var set settings
	name := cmp.Or(opts.Profile, os.Getenv("AWS_PROFILE"))
	profile, err := loadProfile(cmp.Or(name, "default"), name != "")
	if err != nil {
		return set, err
	}
	endpoint := opts.Endpoint
	if endpoint == "" && !strings.EqualFold(os.Getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		endpoint = cmp.Or(os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"), profile.endpoint)
	}
	set.host, set.secure, err = splitEndpoint(endpoint)
	if err != nil {
		return set, err
	}
	set.region = cmp.Or(opts.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), profile.region)
	if set.region == "" && !strings.HasSuffix(set.host, ".amazonaws.com") {
		// Without this every bucket's region would be asked for, which takes a permission that a writer does not have.
		set.region = "us-east-1"
	}
	base, err := newTransport(cmp.Or(opts.CAFile, os.Getenv("AWS_CA_BUNDLE"), profile.caFile))
	if err != nil {
		return set, err
	}
	set.creds = newCredentials(opts, profile, base)
	set.transport = expectContinue{base}
	if opts.Transport != nil {
		set.transport = opts.Transport(set.transport)
	}
	set.clock = &clock{now: opts.Now}
	if set.clock.now == nil {
		set.clock.now = time.Now
	}
	set.transport = answers{set.transport, set.clock}
	return set, nil
}

// splitEndpoint takes a server's URL apart into host, with a port where one is given, and whether to use TLS.
func splitEndpoint(endpoint string) (host string, secure bool, err error) {
	if endpoint == "" {
		return awsHost, true, nil
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", false, fmt.Errorf("endpoint: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false, fmt.Errorf("endpoint %q: must have the form https://host:port", u.Redacted())
	}
	return u.Host, u.Scheme == "https", nil
}

// profile is what a section of the shared files says.
type profile struct {
	name     string
	region   string
	endpoint string
	caFile   string
	roleARN  string
	hasKeys  bool
}

// loadProfile reads a profile from the shared configuration file and, over it, the shared credentials file. Neither need be there,
// but a profile that was asked for must be in one.
func loadProfile(name string, required bool) (profile, error) {
	p := profile{name: name}
	home, _ := os.UserHomeDir() // without a home the files are not there
	found := false
	for _, file := range []struct{ path, section string }{
		{cmp.Or(os.Getenv("AWS_CONFIG_FILE"), filepath.Join(home, ".aws", "config")), "profile " + name},
		{cmp.Or(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), filepath.Join(home, ".aws", "credentials")), name},
	} {
		loaded, err := ini.LoadSources(ini.LoadOptions{AllowNestedValues: true}, file.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return p, fmt.Errorf("shared AWS file %s: %w", file.path, err)
		}
		section, err := loaded.GetSection(file.section)
		if err != nil {
			if section, err = loaded.GetSection(name); err != nil {
				continue
			}
		}
		found = found || len(section.Keys()) > 0
		get := func(key string, into *string) { *into = cmp.Or(section.Key(key).String(), *into) }
		get("region", &p.region)
		get("endpoint_url", &p.endpoint)
		get("ca_bundle", &p.caFile)
		get("role_arn", &p.roleARN)
		p.hasKeys = p.hasKeys || section.HasKey("aws_access_key_id") || section.HasKey("credential_process") || section.HasKey("sso_role_name")
		if services := section.Key("services").String(); services != "" {
			for _, nested := range loaded.Section("services " + services).Key("s3").NestedValues() {
				if key, value, _ := strings.Cut(nested, "="); strings.TrimSpace(key) == "endpoint_url" {
					p.endpoint = strings.TrimSpace(value)
				}
			}
		}
	}
	if required && !found {
		return p, fmt.Errorf("profile %q is not in the shared AWS files", name)
	}
	return p, nil
}

// newCredentials returns credentials from where the options point, else from the chain that AWS's own tools use.
func newCredentials(opts *Options, p profile, base http.RoundTripper) *credentials.Credentials {
	fromProfile := source{"profile " + p.name, &credentials.FileAWSCredentials{Profile: p.name}}
	if p.roleARN != "" && !p.hasKeys {
		fromProfile.provider = failing{errors.New("it assumes a role, which is not supported: use credential_process, or the environment")}
	}
	c := &chain{}
	switch {
	case opts.AccessKey != "" || opts.SecretKey != "":
		value := credentials.Value{
			AccessKeyID: opts.AccessKey, SecretAccessKey: opts.SecretKey, SessionToken: opts.SessionToken, SignerType: credentials.SignatureV4,
		}
		c.sources = []source{{"keys given", &credentials.Static{Value: value}}}
	case opts.AccessKeyFile != "" || opts.SecretKeyFile != "" || opts.SessionTokenFile != "":
		c.sources = []source{{"key files", &keyFiles{opts.AccessKeyFile, opts.SecretKeyFile, opts.SessionTokenFile}}}
	case opts.Profile != "":
		c.sources = []source{fromProfile}
	default:
		c.sources = []source{{"environment", &credentials.EnvAWS{}}, fromProfile}
		// The metadata service of EC2 is asked last: elsewhere its address leads nowhere, and the answer is a time-out.
		machine := os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" || os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" ||
			os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != ""
		if machine || !strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
			client := &http.Client{Transport: base, Timeout: 5 * time.Second}
			c.sources = append(c.sources, source{"role of this machine", &credentials.IAM{Client: client, Region: p.region}})
		}
	}
	return credentials.New(c)
}

type source struct {
	name     string
	provider credentials.Provider
}

// chain takes the first credentials that it finds. Other than minio-go's own, it fails where there are none, instead of sending
// requests that are not signed, and says what it tried.
type chain struct {
	sources []source
	current credentials.Provider
}

func (c *chain) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	errs := []error{errNoCredentials}
	for _, s := range c.sources {
		value, err := s.provider.RetrieveWithCredContext(cc)
		if err == nil && value.AccessKeyID != "" && value.SecretAccessKey != "" {
			c.current = s.provider
			return value, nil
		}
		if err == nil {
			err = errors.New("none there")
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
	}
	return credentials.Value{}, joined(errs)
}

func (c *chain) Retrieve() (credentials.Value, error) { return c.RetrieveWithCredContext(nil) }

func (c *chain) IsExpired() bool { return c.current == nil || c.current.IsExpired() }

// joined is errors.Join on one line.
type joined []error

func (j joined) Error() string {
	texts := make([]string, len(j))
	for i, err := range j {
		texts[i] = strings.ReplaceAll(err.Error(), "\n", " ")
	}
	return strings.Join(texts, "; ")
}

func (j joined) Unwrap() []error { return j }

// keyFiles reads credentials from files of one value each.
type keyFiles struct{ access, secret, token string }

func (k *keyFiles) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	value := credentials.Value{SignerType: credentials.SignatureV4}
	for _, f := range []struct {
		path, what string
		into       *string
	}{
		{k.access, "access key", &value.AccessKeyID},
		{k.secret, "secret key", &value.SecretAccessKey},
		{k.token, "session token", &value.SessionToken},
	} {
		if f.path == "" {
			if f.into == &value.SessionToken {
				continue
			}
			return credentials.Value{}, fmt.Errorf("no file is given for the %s", f.what)
		}
		content, err := os.ReadFile(f.path)
		if err != nil {
			return credentials.Value{}, fmt.Errorf("%s: %w", f.what, err)
		}
		if *f.into = strings.TrimSpace(string(content)); *f.into == "" {
			return credentials.Value{}, fmt.Errorf("%s: %s is empty", f.what, f.path)
		}
	}
	return value, nil
}

func (k *keyFiles) Retrieve() (credentials.Value, error) { return k.RetrieveWithCredContext(nil) }
func (k *keyFiles) IsExpired() bool                      { return false }

// failing provides nothing but its reason.
type failing struct{ err error }

func (f failing) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return credentials.Value{}, f.err
}
func (f failing) Retrieve() (credentials.Value, error) { return credentials.Value{}, f.err }
func (f failing) IsExpired() bool                      { return true }
