package s3_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/s3"
)

func TestNewWantsAMode(t *testing.T) {
	_, err := s3.New("s3://bucket", nil)
	wantError(t, err, nil, "no lock mode is set", "compliance")
	for _, opts := range []s3.Options{{Mode: sink.Compliance, Unlocked: true}, {Mode: "LEGAL"}} {
		if _, err := s3.New("s3://bucket", &opts); err == nil {
			t.Errorf("New with %+v succeeded", opts)
		}
	}
}

func TestNewRefusesURLs(t *testing.T) {
	for _, url := range []string{
		"", "bucket", "s3:bucket", "s3://", "s3:///prefix", "S3://bucket", "https://bucket", "s3://b", "s3://bu cket", "s3://bucket//a",
		"s3://bucket/../a", "s3://bucket/a?region=x", "s3://bucket/a#b", "s3://bucket/" + strings.Repeat("k/", 512) + "k",
	} {
		if _, err := s3.New(url, &s3.Options{Mode: sink.Compliance}); err == nil {
			t.Errorf("New(%q) succeeded", url)
		}
	}
	for _, endpoint := range []string{"ftp://host", "https://", "https://user:password@host", "https://host/path", "https://host?x=y", "://", "a b"} {
		_, err := s3.New("s3://bucket", &s3.Options{Mode: sink.Compliance, Endpoint: endpoint})
		if err == nil {
			t.Errorf("New with endpoint %q succeeded", endpoint)
		} else if strings.Contains(err.Error(), "password") {
			t.Errorf("error %q tells a password", err)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing.pem")
	if _, err := s3.New("s3://bucket", &s3.Options{Mode: sink.Compliance, CAFile: missing}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("New with a CA file that is not there = %v", err)
	}
	write(t, missing, "no certificate")
	if _, err := s3.New("s3://bucket", &s3.Options{Mode: sink.Compliance, CAFile: missing}); err == nil {
		t.Error("New with a CA file without a certificate succeeded")
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// environment makes env the whole of what the AWS variables and files say.
func environment(t *testing.T, env map[string]string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for name, value := range env {
		t.Setenv(name, value)
	}
}

const sharedConfig = `
[default]
region = eu-central-1
[profile ops]
region = eu-west-1
endpoint_url = http://ops.example:9000
[profile served]
services = local
[services local]
s3 =
  endpoint_url = http://served.example:9000
[profile role]
role_arn = arn:aws:iam::123456789012:role/audit
source_profile = ops
`

const sharedCredentials = `
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key = secret
[ops]
aws_access_key_id = AKIAOPS
aws_secret_access_key = secret
[served]
aws_access_key_id = AKIASERVED
aws_secret_access_key = secret
aws_session_token = token
`

// TestSettings looks at where a request goes, and by whom it is signed for which region.
func TestSettings(t *testing.T) {
	effort.NeedsLong(t)
	access, secret := keyFiles(t, "AKIAFILES", "secret")
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, "token of files")
	keys := map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "secret"}
	with := func(more ...string) map[string]string {
		env := map[string]string{}
		for k, v := range keys {
			env[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	for _, c := range []struct {
		name   string
		opts   s3.Options
		env    map[string]string
		noFile bool
		url    string
		scope  string // of the signature: who, and for which region
		token  string
	}{
		{"files", s3.Options{}, nil, false, "https://bucket.s3.eu-central-1.amazonaws.com/", "AKIADEFAULT eu-central-1", ""},
		{"environment", s3.Options{}, with("AWS_REGION", "us-west-2", "AWS_SESSION_TOKEN", "token of env"), false, "https://bucket.s3.us-west-2.amazonaws.com/", "AKIAENV us-west-2", "token of env"},
		{"default region", s3.Options{}, with("AWS_DEFAULT_REGION", "us-west-2"), true, "https://bucket.s3.us-west-2.amazonaws.com/", "AKIAENV us-west-2", ""},
		{"region option", s3.Options{Region: "ap-south-1"}, with("AWS_REGION", "us-west-2"), false, "https://bucket.s3.ap-south-1.amazonaws.com/", "AKIAENV ap-south-1", ""},
		{"path style", s3.Options{Region: "ap-south-1", PathStyle: true}, with(), true, "https://s3.ap-south-1.amazonaws.com/bucket/", "AKIAENV ap-south-1", ""},
		{"profile option before environment", s3.Options{Profile: "ops"}, with(), false, "http://ops.example:9000/bucket/", "AKIAOPS eu-west-1", ""},
		{"profile variable after environment", s3.Options{}, with("AWS_PROFILE", "ops"), false, "http://ops.example:9000/bucket/", "AKIAENV eu-west-1", ""},
		{"profile variable", s3.Options{}, map[string]string{"AWS_PROFILE": "ops"}, false, "http://ops.example:9000/bucket/", "AKIAOPS eu-west-1", ""},
		{"services", s3.Options{Profile: "served"}, nil, false, "http://served.example:9000/bucket/", "AKIASERVED us-east-1", "token"},
		{"endpoint variable", s3.Options{Profile: "ops"}, map[string]string{"AWS_ENDPOINT_URL": "http://env.example"}, false, "http://env.example/bucket/", "AKIAOPS eu-west-1", ""},
		{"endpoint variable of S3", s3.Options{}, map[string]string{"AWS_ENDPOINT_URL": "http://env.example", "AWS_ENDPOINT_URL_S3": "http://s3.example"}, false, "http://s3.example/bucket/", "AKIADEFAULT eu-central-1", ""},
		{"endpoints ignored", s3.Options{Region: "eu-west-1"}, with("AWS_ENDPOINT_URL", "http://env.example", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"), false, "https://bucket.s3.eu-west-1.amazonaws.com/", "AKIAENV eu-west-1", ""},
		{"endpoint option", s3.Options{Endpoint: "store.example:9000"}, with("AWS_ENDPOINT_URL", "http://env.example"), true, "https://store.example:9000/bucket/", "AKIAENV us-east-1", ""},
		{"key files", s3.Options{Endpoint: "http://store.example", AccessKeyFile: access, SecretKeyFile: secret}, with(), true, "http://store.example/bucket/", "AKIAFILES us-east-1", ""},
		{"key files with a token", s3.Options{Endpoint: "http://store.example", AccessKeyFile: access, SecretKeyFile: secret, SessionTokenFile: token}, nil, true, "http://store.example/bucket/", "AKIAFILES us-east-1", "token of files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			environment(t, c.env)
			if !c.noFile {
				dir := filepath.Join(os.Getenv("HOME"), ".aws")
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(dir, "config"), sharedConfig)
				write(t, filepath.Join(dir, "credentials"), sharedCredentials)
			}
			var sent *http.Request
			c.opts.Mode = sink.Compliance
			c.opts.Transport = func(http.RoundTripper) http.RoundTripper {
				return roundTripper(func(r *http.Request) (*http.Response, error) {
					sent = r
					return nil, http.ErrNotSupported
				})
			}
			c.opts.Retry = s3.Retry{Attempts: 1}
			_ = open(t, "s3://bucket", &c.opts).Preflight(t.Context())
			if sent == nil {
				t.Fatal("nothing was sent")
			}
			if got := strings.TrimSuffix(sent.URL.String(), "?versioning="); got != c.url {
				t.Errorf("sent to %s, want %s", got, c.url)
			}
			who, region, _ := strings.Cut(c.scope, " ")
			if auth := sent.Header.Get("Authorization"); !strings.Contains(auth, "Credential="+who+"/") || !strings.Contains(auth, "/"+region+"/s3/aws4_request") {
				t.Errorf("signed as %q, want %s", auth, c.scope)
			}
			if got := sent.Header.Get("X-Amz-Security-Token"); got != c.token {
				t.Errorf("token %q, want %q", got, c.token)
			}
		})
	}
}

func TestNoCredentials(t *testing.T) {
	f := newFake(t)
	half, _ := keyFiles(t, "AKIAHALF", "")
	for _, c := range []struct {
		name string
		opts s3.Options
		env  map[string]string
		text string
	}{
		{"nowhere", s3.Options{}, nil, "environment: "},
		{"half of the environment", s3.Options{}, map[string]string{"AWS_ACCESS_KEY_ID": "AKIA"}, "no credentials"},
		{"half of the files", s3.Options{AccessKeyFile: half}, nil, "no file is given for the secret key"},
		{"a file that is not there", s3.Options{AccessKeyFile: half + ".missing", SecretKeyFile: half}, nil, "access key: open"},
		{"an empty file", s3.Options{AccessKeyFile: half, SecretKeyFile: filepath.Join(filepath.Dir(half), "secret")}, nil, "is empty"},
		{"a role", s3.Options{Profile: "role"}, nil, "assumes a role"},
	} {
		t.Run(c.name, func(t *testing.T) {
			environment(t, c.env)
			config := filepath.Join(t.TempDir(), "config")
			write(t, config, sharedConfig)
			t.Setenv("AWS_CONFIG_FILE", config)
			c.opts.Mode, c.opts.Endpoint, c.opts.Retry = sink.Compliance, f.URL, fast
			err := open(t, "s3://bucket", &c.opts).Preflight(t.Context())
			wantError(t, err, nil, c.text, "AWS_ACCESS_KEY_ID")
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "tried") {
				t.Errorf("error %q", err)
			}
		})
	}
	if all := f.took(); len(all) != 0 {
		t.Errorf("sent %v", all)
	}
	environment(t, nil)
	if _, err := s3.New("s3://bucket", &s3.Options{Mode: sink.Compliance, Profile: "nobody"}); err == nil {
		t.Error("New with a profile that is nowhere succeeded")
	}
	broken := filepath.Join(t.TempDir(), "config")
	write(t, broken, "[default\nregion")
	t.Setenv("AWS_CONFIG_FILE", broken)
	if _, err := s3.New("s3://bucket", &s3.Options{Mode: sink.Compliance}); err == nil || !strings.Contains(err.Error(), broken) {
		t.Errorf("New with a broken configuration file = %v", err)
	}
}
