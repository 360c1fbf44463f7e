package intake

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// What looks like a credential, in any text. AKIA… is none: it identifies a key. Beside these shapes:
//
//   - a JSON Web Token: eyJ….….…
//   - a private key in PEM, from BEGIN to END
//   - Bearer and Basic, as in an Authorization header
//   - the password in a URL: ://user:password@
//   - name=value with a secret's name (password=…, X-Amz-Signature=…, ?access_token=…), also sig= in the query of a URL, as Azure signs
//
// Of each only the secret itself is replaced.
type shape struct {
	prefix string
	// rest is what follows the prefix, at least min bytes of it.
	rest charSet
	min  int
	// window is where in prefix three bytes stand that are rare elsewhere, and three after the first of these.
	window int
	kind   shapeKind
}

type shapeKind uint8

const (
	shapeRun    shapeKind = iota // prefix and rest are the secret
	shapeScheme                  // rest is
	shapeBasic                   // rest is, if it is base64 of user:password
	shapeJWT
	shapePEM
)

// shapes are those whose beginning is fixed. GitHub, GitLab, Slack, Stripe, npm, Vault, OpenAI and Anthropic, Google (key and OAuth token), AWS session tokens
// (they are Protocol Buffers that begin with the word origin_ec or aws).
var shapes = []shape{
	{"eyJ", base64URL, 8, 0, shapeJWT},
	{"-----BEGIN ", upper, 0, 0, shapePEM},
	{"Bearer ", token68, 16, 0, shapeScheme},
	{"bearer ", token68, 16, 0, shapeScheme},
	{"BEARER ", token68, 16, 0, shapeScheme},
	{"Basic ", token68, 8, 0, shapeBasic},
	{"basic ", token68, 8, 0, shapeBasic},
	{"BASIC ", token68, 8, 0, shapeBasic},
	{"IQoJ", base64Escaped, 20, 0, shapeRun},
	{"FwoG", base64Escaped, 20, 0, shapeRun},
	{"FQoG", base64Escaped, 20, 0, shapeRun},
	{"FQoD", base64Escaped, 20, 0, shapeRun},
	{"ghp_", alnum, 16, 0, shapeRun},
	{"gho_", alnum, 16, 0, shapeRun},
	{"ghu_", alnum, 16, 0, shapeRun},
	{"ghs_", alnum, 16, 0, shapeRun},
	{"ghr_", alnum, 16, 0, shapeRun},
	{"github_pat_", base64URL, 16, 4, shapeRun},
	{"glpat-", base64URL, 16, 0, shapeRun},
	{"xoxa-", base64URL, 8, 0, shapeRun},
	{"xoxb-", base64URL, 8, 0, shapeRun},
	{"xoxe-", base64URL, 8, 0, shapeRun},
	{"xoxo-", base64URL, 8, 0, shapeRun},
	{"xoxp-", base64URL, 8, 0, shapeRun},
	{"xoxr-", base64URL, 8, 0, shapeRun},
	{"xoxs-", base64URL, 8, 0, shapeRun},
	{"sk_live_", alnum, 8, 1, shapeRun},
	{"rk_live_", alnum, 8, 1, shapeRun},
	{"sk-ant-", base64URL, 16, 1, shapeRun},
	{"sk-proj-", base64URL, 16, 1, shapeRun},
	{"npm_", alnum, 30, 0, shapeRun},
	{"hvs.", base64URL, 20, 0, shapeRun},
	{"ya29.", base64URL, 8, 0, shapeRun},
	{"AIza", base64URL, 30, 0, shapeRun},
}

// charSet is a set of ASCII characters.
type charSet uint8

const (
	upper charSet = 1 << iota // and space and digits
	alnum
	base64URL     // alnum - _
	token68       // base64URL . ~ + / =
	base64Escaped // base64URL + / = %, so that it may stand in a URL
)

func (set charSet) has(c byte) bool {
	switch {
	case c >= 'A' && c <= 'Z' || c >= '0' && c <= '9':
		return true
	case c >= 'a' && c <= 'z':
		return set != upper
	}
	switch set {
	case upper:
		return c == ' '
	case base64URL:
		return c == '-' || c == '_'
	case token68:
		return strings.IndexByte("-_.~+/=", c) >= 0
	case base64Escaped:
		return strings.IndexByte("-_+/=%", c) >= 0
	}
	return false
}

// run returns where the characters of set that begin at i end.
func (set charSet) run(s string, i int) int {
	for i < len(s) && set.has(s[i]) {
		i++
	}
	return i
}

// credentials redacts what looks like a credential in s.
func (r *Redactor) credentials(s string) (string, int) {
	var out []byte
	last, n := 0, 0
	for i := 0; i < len(s); {
		from, to, next := r.credentialAt(s, i)
		if from < to {
			out = append(append(out, s[last:from]...), r.tag(plainSecret(s[from:to]))...)
			last = to
			n++
		}
		i = next
	}
	if n == 0 {
		return s, 0
	}
	return viewString(append(out, s[last:]...)), n
}

// plainSecret is the secret as it is without the escapes of a URL, so that its tag is that of the same secret elsewhere.
func plainSecret(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	plain, err := url.PathUnescape(s)
	if err != nil {
		return s
	}
	return plain
}

// credentialAt looks for a credential that is marked at s[i]: by its first character, by the = before it, or by the : of a URL. s[from:to], if not
// empty, is the secret; next is where to look on, and after i.
func (r *Redactor) credentialAt(s string, i int) (from, to, next int) {
	switch c := s[i]; {
	case c == '=':
		return r.assignedAt(s, i)
	case c == ':':
		return urlPasswordAt(s, i)
	case !startsShape[c] || i > 0 && isWord(s[i-1]):
		return 0, 0, i + 1
	}
	for k := range shapes {
		if p := &shapes[k]; strings.HasPrefix(s[i:], p.prefix) {
			if from, to, next := p.match(s, i); next > i {
				return from, to, next
			}
		}
	}
	return 0, 0, i + 1
}

// startsShape tells the first characters of shapes.
var startsShape = func() (set [256]bool) {
	for _, p := range shapes {
		set[p.prefix[0]] = true
	}
	return set
}()

func isWord(c byte) bool { return alnum.has(c) || c == '_' }

// match looks whether the shape, whose prefix stands at s[i], is whole. If not, next is 0.
func (p *shape) match(s string, i int) (from, to, next int) {
	body := i + len(p.prefix)
	switch p.kind {
	case shapeJWT:
		return jwtAt(s, i)
	case shapePEM:
		return pemAt(s, i)
	}
	end := p.rest.run(s, body)
	switch p.kind {
	case shapeScheme:
		// "Bearer authentication" is no credential: a short one must have a digit.
		if end-body >= p.min || end-body >= 6 && strings.ContainsAny(s[body:end], "0123456789") {
			return body, end, end
		}
	case shapeBasic:
		decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s[body:end], "="))
		if end-body >= p.min && err == nil && strings.Contains(string(decoded), ":") {
			return body, end, end
		}
	default:
		if end-body >= p.min {
			return i, end, end
		}
	}
	return 0, 0, 0
}

// maxInnerHeader is how long the header of a JSON Web Token can be that follows a - or a full stop, which may itself be part of such a run: without a
// limit a long run of beginnings would be read again for each of them.
const maxInnerHeader = 512

// jwtAt finds three or more segments of base64url.
func jwtAt(s string, i int) (from, to, next int) {
	header := s
	if i > 0 && (s[i-1] == '-' || s[i-1] == '.') {
		header = s[:min(len(s), i+maxInnerHeader)]
	}
	dot := base64URL.run(header, i)
	if dot < i+8 {
		return 0, 0, 0
	}
	end, dots := dot, 0
	for end < len(s) && s[end] == '.' {
		dots++
		end = base64URL.run(s, end+1)
	}
	if dots < 2 {
		return 0, 0, 0
	}
	if dots > 2 && s[end-1] == '.' { // the full stop of a sentence
		end--
	}
	return i, end, end
}

const pemEnd = "-----END "

func pemAt(s string, i int) (from, to, next int) {
	label := i + len("-----BEGIN ")
	end := upper.run(s, label)
	if !strings.Contains(s[label:end], "PRIVATE KEY") || !strings.HasPrefix(s[end:], "-----") {
		return 0, 0, 0
	}
	to = len(s)
	if at := strings.Index(s[end:], pemEnd); at >= 0 {
		to = upper.run(s, end+at+len(pemEnd))
		for to < len(s) && s[to] == '-' {
			to++
		}
	}
	return i, to, to
}

// assignedAt finds the value after the = at s[i], if a secret's name stands before it.
func (r *Redactor) assignedAt(s string, i int) (from, to, next int) {
	next = i + 1
	if !r.assigns(s, i) {
		return 0, 0, next
	}
	from = i + 1
	for from < len(s) && s[from] == ' ' && s[i-1] == ' ' { // "token = x", but not "token= x", which is empty
		from++
	}
	if from == len(s) {
		return 0, 0, next
	}
	if q := s[from]; q == '"' || q == '\'' {
		from++
		to = len(s)
		if at := strings.IndexByte(s[from:], q); at >= 0 {
			to = from + at
		}
	} else {
		to = from
		for to < len(s) && s[to] > ' ' && strings.IndexByte("&;,\"'<>(){}[]|\\`", s[to]) < 0 {
			to++
		}
	}
	switch s[from:to] {
	case "", "null", "true", "false", "none", "None":
		return 0, 0, next
	}
	if isTag(s[from:min(len(s), from+tagLen)]) {
		return 0, 0, next
	}
	if isFolder(strings.TrimRight(s[:i], " "), s[from:to]) {
		return 0, 0, next
	}
	// "Authorization=Bearer …": the scheme is no secret, what follows it is.
	if scheme := s[from:to]; (strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "basic")) && to < len(s) && s[to] == ' ' {
		return 0, 0, next
	}
	return from, to, to
}

// assigns reports whether a secret's name stands before the = at s[i].
func (r *Redactor) assigns(s string, i int) bool {
	end := i
	for end > 0 && s[end-1] == ' ' && i-end < 4 {
		end--
	}
	if isSig(s[:end]) {
		return true
	}
	if !r.mayEnd(s[:end]) {
		return false
	}
	start := end
	for start > 0 && (isWord(s[start-1]) || s[start-1] == '-') {
		if start--; end-start > maxNameLen {
			return false
		}
	}
	if kind := r.kind(s[start:end]); kind == nameSecret || kind == nameStructure {
		return true
	}
	// In JSON text, an escape before the name reads as its first letter: \npassword=
	if start > 0 && s[start-1] == '\\' && start+1 < end {
		kind := r.kind(s[start+1 : end])
		return kind == nameSecret || kind == nameStructure
	}
	return false
}

// isFolder reports whether name, or what it ends in, is a shell's variable for its folder and value one: PWD is short for two things.
func isFolder(name, value string) bool {
	return strings.HasSuffix(name, "PWD") && strings.HasPrefix(value, "/")
}

// isSig reports whether s ends in a parameter of a URL that Azure has its signatures in.
func isSig(s string) bool { return strings.HasSuffix(s, "?sig") || strings.HasSuffix(s, "&sig") }

// urlPasswordAt finds the password in the user information of the URL whose colon is at s[i].
func urlPasswordAt(s string, i int) (from, to, next int) {
	next = i + 1
	if !strings.HasPrefix(s[i:], "://") {
		return 0, 0, next
	}
	colon, at := -1, -1
	end := i + 3
	for ; end < len(s) && s[end] > ' ' && strings.IndexByte("/?#\"'<>\\`|", s[end]) < 0; end++ {
		switch {
		case s[end] == ':' && colon < 0:
			colon = end
		case s[end] == '@':
			at = end
		}
	}
	if colon < 0 || at <= colon+1 || isTag(s[colon+1:at]) {
		return 0, 0, next
	}
	return colon + 1, at, at
}
