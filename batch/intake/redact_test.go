package intake_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/intake"
	"daybook/event"
	"daybook/formats/jsontext"
	"daybook/internal/effort"
)

var testKey = []byte("0123456789abcdef0123456789abcdef")

func newRedactor(t testing.TB, rules intake.Rules) *intake.Redactor {
	t.Helper()
	r, err := intake.NewRedactor(testKey, rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// redactInfo redacts text as an event's info.
func redactInfo(r *intake.Redactor, text string) (string, int) {
	var e event.Event
	e.Set(event.Info, text)
	n := r.Redact(&e)
	return e.Get(event.Info), n
}

var tagRE = regexp.MustCompile(`\[redacted:[0-9a-f]{8}\]`)

// blank replaces tags by #, which stands in no input of the tables below.
func blank(s string) string { return tagRE.ReplaceAllString(s, "#") }

func TestRedact(t *testing.T) {
	jwt := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
	sts := "IQoJb3JpZ2luX2VjEC0aCXVzLWVhc3QtMSJHMEUCIQ+/abcd=="
	pem := `-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----`
	for _, c := range []struct{ in, want string }{
		// names
		{`{"password":"hunter2"}`, `{"password":"#"}`},
		{`{"a":1,"Password":"hunter2","b":2}`, `{"a":1,"Password":"#","b":2}`},
		{`{"PASSWORD":"x","pass_word":"x","pass-word":"x","Pass Word":"x"}`, `{"PASSWORD":"#","pass_word":"#","pass-word":"#","Pass Word":"#"}`},
		{`{"secretAccessKey":"x","secret_access_key":"x","SECRET-ACCESS-KEY":"x"}`, `{"secretAccessKey":"#","secret_access_key":"#","SECRET-ACCESS-KEY":"#"}`},
		{`{"credentials":{"accessKeyId":"AKIAIOSFODNN7EXAMPLE","sessionToken":"x"}}`, `{"credentials":{"accessKeyId":"AKIAIOSFODNN7EXAMPLE","sessionToken":"#"}}`},
		{`[[{"token":"x"}]]`, `[[{"token":"#"}]]`},
		{`{"pin":1,"otp":123456,"password":-1.5e3}`, `{"pin":1,"otp":"#","password":"#"}`},
		{`{"password":["a","b"]}`, `{"password":"#"}`},
		{`{"password":{"plain":"hunter2"}}`, `{"password":"#"}`},
		{`{"cookies":{"session_id":"abc"}}`, `{"cookies":"#"}`},
		{`{"passw\u006frd":"x"}`, `{"passw\u006frd":"#"}`},
		{`{"passwor\u0064":"x"}`, `{"passwor\u0064":"#"}`},
		{`{"password" : "x"}`, `{"password" : "#"}`},
		{"{\"password\"\t:\n\"x\"}", "{\"password\"\t:\n\"#\"}"},
		{`{"password":"x","password":"y"}`, `{"password":"#","password":"#"}`},
		{`{"Set-Cookie":"x","X-Amz-Security-Token":"x","x-api-key":"x","Authorization":"Basic x"}`, `{"Set-Cookie":"#","X-Amz-Security-Token":"#","x-api-key":"#","Authorization":"#"}`},
		{`{"masterUserPassword":"x","userPassword":"x","newPassword":"x","oldPassword":"x","passphrase":"x","clientSecret":"x","privateKey":"x","idToken":"x","refreshToken":"x","accessToken":"x","authToken":"x","apiKey":"x","cookie":"x","setCookie":"x","passwd":"x","secret":"x"}`,
			`{"masterUserPassword":"#","userPassword":"#","newPassword":"#","oldPassword":"#","passphrase":"#","clientSecret":"#","privateKey":"#","idToken":"#","refreshToken":"#","accessToken":"#","authToken":"#","apiKey":"#","cookie":"#","setCookie":"#","passwd":"#","secret":"#"}`},
		{`{"password":"****"}`, `{"password":"#"}`},
		{`{"password":"[redacted:12345678] and more"}`, `{"password":"#"}`},

		// names of neighbours
		{`{"environment":[{"name":"DB_PASSWORD","value":"x"},{"name":"PATH","value":"/bin"}]}`, `{"environment":[{"name":"DB_PASSWORD","value":"#"},{"name":"PATH","value":"/bin"}]}`},
		{`{"parameterValue":"x","usePreviousValue":false,"parameterKey":"DbPassword"}`, `{"parameterValue":"#","usePreviousValue":false,"parameterKey":"DbPassword"}`},
		{`{"Name":"Password","NewValue":"x","OldValue":{"a":"AIzaSyA0000000000000000000000000000000"}}`, `{"Name":"Password","NewValue":"#","OldValue":"#"}`},
		{`{"value":["x"],"key":"Authorization"}`, `{"value":"#","key":"Authorization"}`},

		// structures
		{`{"authorization":{"action":"Microsoft.Compute/disks/delete","scope":"/subscriptions/1"}}`, `{"authorization":{"action":"Microsoft.Compute/disks/delete","scope":"/subscriptions/1"}}`},
		{`{"authorization":{"scheme":"x","credentials":["y"]}}`, `{"authorization":{"scheme":"#","credentials":["#"]}}`},
		{`{"secret":{"defaultMode":420,"secretName":"default-token-9m2xw"}}`, `{"secret":{"defaultMode":420,"secretName":"default-token-9m2xw"}}`},
		{`{"api_key":{"type":"service_account","id":"key-1","value":"x"}}`, `{"api_key":{"type":"service_account","id":"key-1","value":"#"}}`},
		{`{"token":{"a":{"b":[1,true,"x"]},"name":"n"}}`, `{"token":{"a":{"b":["#",true,"#"]},"name":"n"}}`},

		// JSON in strings
		{`{"policyDocument":"{\"password\":\"x\",\"a\":1}"}`, `{"policyDocument":"{\"password\":\"#\",\"a\":1}"}`},
		{`{"a":"{\"b\":\"{\\\"secretKey\\\":\\\"x\\\"}\"}"}`, `{"a":"{\"b\":\"{\\\"secretKey\\\":\\\"#\\\"}\"}"}`},
		{`{"a":"[{\"name\":\"DB_PASSWORD\",\"value\":\"x\"}]"}`, `{"a":"[{\"name\":\"DB_PASSWORD\",\"value\":\"#\"}]"}`},
		{`{"a":"\u007b\u0022password\u0022:\u0022x\u0022}"}`, `{"a":"{\"password\":\"#\"}"}`},
		{`{"a":"{\"password\":\"cut of"}`, `{"a":"{\"password\":\"#"}`},
		{`{"a":"{\"password\":12, broken"}`, `{"a":"{\"password\":#, broken"}`},
		{`"{\"password\":\"x\"}"`, `"{\"password\":\"#\"}"`},

		// values
		{`{"a":"` + jwt + `"}`, `{"a":"#"}`},
		{`{"a":"see ` + jwt + `."}`, `{"a":"see #."}`},
		{`{"a":"` + jwt + `.extra.more"}`, `{"a":"#"}`},
		{`{"a":"Bearer abcdef123456"}`, `{"a":"Bearer #"}`},
		{`{"a":"x\nauthorization: bearer abcdefghijklmnopqrstuv\n"}`, `{"a":"x\nauthorization: bearer #\n"}`},
		{`{"a":"Basic dXNlcjpodW50ZXIy"}`, `{"a":"Basic #"}`},
		{`{"a":"ghp_0123456789abcdefABCDEF0123456789abcd"}`, `{"a":"#"}`},
		{`{"a":"x github_pat_11AAAAAAA0abcdefghij_klmnop y"}`, `{"a":"x # y"}`},
		{`{"a":"xoxb-123456789012-abcdef"}`, `{"a":"#"}`},
		{`{"a":"` + pem + `"}`, `{"a":"#"}`},
		{`{"a":"x ` + pem + ` y"}`, `{"a":"x # y"}`},
		{`{"a":"-----BEGIN PRIVATE KEY-----\nMIIE"}`, `{"a":"#"}`},
		{`{"a":"` + sts + `"}`, `{"a":"#"}`},
		{`{"a":"token ` + sts + ` in text"}`, `{"a":"token # in text"}`},
		{`{"a":"FwoGZXIvYXdzEBYaDEXAMPLETOKENEXAMPLE"}`, `{"a":"#"}`},
		{`{"u":"https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20230710&X-Amz-Security-Token=abc%2Fdef&X-Amz-Signature=0123abcd&x=1"}`,
			`{"u":"https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20230710&X-Amz-Security-Token=#&X-Amz-Signature=#&x=1"}`},
		{`{"u":"https://a.blob.core.windows.net/c?sv=2022&sig=abc%3D"}`, `{"u":"https://a.blob.core.windows.net/c?sv=2022&sig=#"}`},
		{`{"a":"ya29.a0AfH6SMBxxxxxxxx"}`, `{"a":"#"}`},
		{`{"a":"sk_live_abcdefgh12345678"}`, `{"a":"#"}`},
		{`{"a":"AIzaSyA00000000000000000000000000000000"}`, `{"a":"#"}`},
		{`{"a":"postgres://user:hunter2@db.example.com/x"}`, `{"a":"postgres://user:#@db.example.com/x"}`},
		{`{"a":"https:\/\/user:p@ss@example.com"}`, `{"a":"https://user:#@example.com"}`},
		{`{"a":"redis://:hunter2@h"}`, `{"a":"redis://:#@h"}`},
		{`{"a":"https://u:p\u00e4\u20ac@h"}`, `{"a":"https://u:#@h"}`},
		{`{"a":"user=bob&password=hunter2&x=1"}`, `{"a":"user=bob&password=#&x=1"}`},
		{`{"a":"line\npassword=hunter2\nmore"}`, `{"a":"line\npassword=#\nmore"}`},
		{`{"a":"mysql --password='a b' -u x"}`, `{"a":"mysql --password='#' -u x"}`},
		{`{"a":"DefaultEndpointsProtocol=https;AccountName=n;AccountKey=abc/+def==;EndpointSuffix=core"}`, `{"a":"DefaultEndpointsProtocol=https;AccountName=n;AccountKey=#;EndpointSuffix=core"}`},
		{`{"a":"UID=sa;PWD=hunter2","PWD":"hunter2","pwd":"/x"}`, `{"a":"UID=sa;PWD=#","PWD":"#","pwd":"#"}`},
		{`{"a":"Secret = x"}`, `{"a":"Secret = #"}`},
		{`"ghp_0123456789abcdefABCDEF0123456789abcd"`, `"#"`},
	} {
		for _, r := range []*intake.Redactor{newRedactor(t, intake.Rules{}), newRedactor(t, intake.Rules{Patterns: []string{"never-matches-this"}})} {
			got, n := redactInfo(r, c.in)
			if blank(got) != c.want {
				t.Errorf("%s\n got %s\nwant %s", c.in, blank(got), c.want)
			}
			if want := strings.Count(c.want, "#"); n != want {
				t.Errorf("%s: counted %d, want %d", c.in, n, want)
			}
			if again, n := redactInfo(r, got); again != got || n != 0 {
				t.Errorf("%s: redacted again (%d): %s", c.in, n, again)
			}
		}
	}
}

func TestRedactLeavesAlone(t *testing.T) {
	r := newRedactor(t, intake.Rules{})
	for _, text := range []string{
		`{}`, `[]`, `null`, `true`, `"text"`, `12`, `""`,
		`{"secretId":"arn:aws:secretsmanager:us-west-2:123456789012:secret:x","clientRequestToken":"25B7F231-8BFB-4010-941D-0FDE22294458"}`,
		`{"SecretARN":"arn:aws:x","secretArn":"a","secretName":"n","SecretVersionId":"v","tokenId":"dapi-abc","accessKeyId":"AKIAIOSFODNN7EXAMPLE","privateKeyId":"k"}`,
		`{"nextToken":"AAEAAWTrG1XzfC","paginationToken":"x","NextToken":"eyJ0IjoxfQ==","continuationToken":"x","pageToken":"x","clientToken":"x","idempotencyToken":"x"}`,
		`{"passwordLastUsed":"2023-07-10","passwordResetRequired":false,"passwordExpiry":"NEVER","passwordPolicy":{"minimumPasswordLength":14},"hasPassword":"yes"}`,
		`{"password":null,"token":true,"secret":false,"cookie":"","privateKey":[],"apiKey":{},"otp":[null,true,"",{}]}`,
		`{"tokens":5,"maxTokens":100,"inputTokens":7,"httpTokens":"required","keyName":"alucloud","keyId":"1","publicKey":"ssh-ed25519 AAAA","objectKey":"a/b"}`,
		`{"key":"password","other":"x"}`, `{"key":"env","value":"password"}`, `{"name":"tokenId","value":"x"}`,
		`{"a":"password","b":"the password: is unknown","c":"secret"}`,
		`{"authenticationMethod":"Password","authenticationContext":{},"hashed_token":"0771cae4=","keyPairName":"k"}`,
		`{"a":"arn:aws:sts::123456789012:assumed-role/role/alice@example.com","b":"bob@example.com","c":"git@github.com:o/r.git","d":"https://example.com/@scope:x@1"}`,
		`{"a":"Bearer authentication","b":"Bearer of news","c":"Basic support","d":"Basic authentication is off","e":"bearer"}`,
		`{"a":"eyJ0b2tlbiI6MX0=","b":"eyJ","c":"a.eyJ.b","d":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi"}`,
		`{"a":"-----BEGIN CERTIFICATE-----\nMIIE3zCC\n-----END CERTIFICATE-----","b":"-----BEGIN PUBLIC KEY-----","c":"-----"}`,
		`{"a":"AKIAIOSFODNN7EXAMPLE","b":"ASIAIOSFODNN7EXAMPLE","c":"ghp_short","d":"IQoJ","e":"xoxb","f":"AIza","g":"sk_live_","h":"ya29."}`,
		`{"a":"x=1&y=2","b":"a==","c":"token=","d":"password=null","e":"nextToken=abc","f":"sig=abc","g":"https://x/?signature=abc","h":"key=value","i":"?token= HTTP/1.1"}`,
		`{"PWD":"/home/bob","OLDPWD":"/","a":"TTY=pts/0 ; PWD=/home/bob ; USER=root"}`,
		`{"a":"SGVsbG8gd29ybGQhIFRoaXMgaXMgYmFzZTY0IQ==","b":"69y67YXkh+2LwNYisaGL/A=="}`,
		`{"a":"{\"statement\":[{\"effect\":\"Allow\",\"action\":\"s3:GetObject\"}]}","b":"{not json","c":"[x","d":"\"x"}`,
		`{"a":"[redacted:0123abcd]","password":"[redacted:0123abcd]","b":"Bearer [redacted:0123abcd]","c":"u://a:[redacted:0123abcd]@h?token=[redacted:0123abcd]"}`,
		`{"a":"caf\u00e9 \u2028 \ud83d\ude00 \ud800","b":"\\u0041 \/ \b\f","big":12345678901234567890,"dup":1,"dup":2}`,
		"{ \"a\" : [ 1 , 2 ] ,\t\"b\" : { \"c\" : \"d\" } }",
	} {
		if got, n := redactInfo(r, text); got != text || n != 0 {
			t.Errorf("%s\nbecame %s (%d)", text, got, n)
		}
	}
}

// Equal secrets have equal tags, wherever they stand and however they are written; others, and other keys, have others.
func TestTags(t *testing.T) {
	r := newRedactor(t, intake.Rules{})
	secret := "IQoJb3JpZ2luX2VjEC0aCXVzLWVhc3Qt/+SJHMEUCIQ=="
	got, _ := redactInfo(r, `{"sessionToken":"`+secret+`","b":"`+strings.ReplaceAll(secret, "/", `\/`)+`","c":"{\"token\":\"`+secret+`\"}","d":"x?X-Amz-Security-Token=`+
		strings.NewReplacer("/", "%2F", "+", "%2B", "=", "%3D").Replace(secret)+`","e":"got `+secret+` here","other":{"token":"IQoJ"}}`)
	tags := tagRE.FindAllString(got, -1)
	if len(tags) != 6 {
		t.Fatalf("%d tags in %s", len(tags), got)
	}
	for _, tag := range tags[:5] {
		if tag != tags[0] {
			t.Errorf("equal secrets have the tags %v", tags[:5])
		}
	}
	if tags[5] == tags[0] {
		t.Error("other secrets have equal tags")
	}
	other, err := intake.NewRedactor([]byte(strings.Repeat("k", 32)), intake.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := redactInfo(other, `{"sessionToken":"`+secret+`"}`); strings.Contains(again, tags[0]) {
		t.Error("the tag does not depend on the key")
	}
	// Pinned: the tag of a secret is part of what makes two exports equal.
	if got, _ := redactInfo(r, `{"password":"hunter2"}`); got != `{"password":"[redacted:3920d54e]"}` {
		t.Errorf("got %s", got)
	}
}

func TestRedactFields(t *testing.T) {
	r := newRedactor(t, intake.Rules{})
	const token = "ghp_0123456789abcdefABCDEF0123456789abcd"
	var e event.Event
	for _, f := range event.Fields() {
		if f.JSON() {
			e.Set(f, `{"a":"`+token+`"}`)
		} else if f != event.TokenLast4 {
			e.Set(f, "see "+token)
		}
	}
	if n := r.Redact(&e); n != 8 {
		t.Errorf("counted %d, want 8", n)
	}
	for _, f := range []event.Field{event.Info, event.Changes, event.Raw, event.ErrorMessage, event.Reason, event.UserAgent, event.ObjectID, event.ObjectName} {
		if strings.Contains(e.Get(f), token) {
			t.Errorf("%v holds the secret: %s", f, e.Get(f))
		}
	}
	if e.Get(event.ActorID) != "see "+token {
		t.Errorf("actor_id was changed: %s", e.Get(event.ActorID))
	}
	var empty event.Event
	if n := r.Redact(&empty); n != 0 || empty.Has(event.Info) {
		t.Error("an empty event was changed")
	}
}

func TestRules(t *testing.T) {
	r := newRedactor(t, intake.Rules{
		Keys:      []string{"national_number", "PIN"},
		AllowKeys: []string{"cookie", "Token"},
		Patterns:  []string{`\bEMP-\d+\b`, `code:(\w+)`, `[0-9a-f]{8}`},
	})
	for in, want := range map[string]string{
		`{"nationalNumber":"x","pin":1,"pins":2}`:                               `{"nationalNumber":"#","pin":"#","pins":2}`,
		`{"cookie":"x","token":{"password":"x"},"b":{"token":"Bearer 123456"}}`: `{"cookie":"x","token":{"password":"x"},"b":{"token":"Bearer 123456"}}`,
		`{"a":"EMP-12 and EMP-3","b":"code:abc!","c":"x EMP-"}`:                 `{"a":"# and #","b":"code:#!","c":"x EMP-"}`,
		`{"a":"{\"b\":\"EMP-12\"}"}`:                                            `{"a":"{\"b\":\"#\"}"}`,
		`{"a":"id 0123abcd"}`:                                                   `{"a":"id #"}`,
		`{"a":"{broken EMP-12"}`:                                                `{"a":"{broken #"}`,
	} {
		got, n := redactInfo(r, in)
		if blank(got) != want || n != strings.Count(want, "#") {
			t.Errorf("%s\n got %s (%d)\nwant %s", in, blank(got), n, want)
		}
		if again, n := redactInfo(r, got); again != got || n != 0 {
			t.Errorf("%s: redacted again: %s", got, again)
		}
	}
	_, err := intake.NewRedactor(testKey[:5], intake.Rules{
		Keys: []string{"", "__", "a"}, AllowKeys: []string{"A", strings.Repeat("x", 65)}, Patterns: []string{"(", "x*"},
	})
	for _, want := range []string{"5 bytes", `""`, `"__"`, `"A" is among the keys`, "xxx", `"("`, `"x*"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %s", err, want)
		}
	}
}

func TestRedactBytes(t *testing.T) {
	r := newRedactor(t, intake.Rules{})
	for in, want := range map[string]string{
		"":                 "",
		"{\"a\":\"\xff\"}": "{\"a\":\"\xff\"}",
		"{\"a\":\"\xff\",\"password\":\"hunter2\",\"b\":\"\xfe\"}":            "{\"a\":\"\xff\",\"password\":\"#\",\"b\":\"\xfe\"}",
		"{\"\xff\":1,\"password\":\"\xffhunter2\"}":                           "{\"\xff\":1,\"password\":\"#\"}",
		"{\"a\":\"\xff\",\"b\":\"{\\\"token\\\":\\\"x\\\",\\\"\xff\\\":1}\"}": "{\"a\":\"\xff\",\"b\":\"{\\\"token\\\":\\\"#\\\",\\\"\xff\\\":1}\"}",
		"\xff password=hunter2 \xfe":                                          "\xff password=# \xfe",
		"\xff\" {\"password\": \"hunter2\", \"a\":1":                          "\xff\" {\"password\": \"#\", \"a\":1",
		"{\"password\":\"hunter2":                                             "{\"password\":\"#",
		"{\"password\":{\"a\":\"hunter2\"":                                    "{\"password\":#",
		"{\"password\":[\"hunter2\"],\"b\":1,":                                "{\"password\":#,\"b\":1,",
		"{\"password\":hunter2,\"b\":null":                                    "{\"password\":#,\"b\":null",
		"{\"password\":null,\"b\"":                                            "{\"password\":null,\"b\"",
		"x{\\\"password\\\":\\\"hun\\\\\\\"ter2\\\",\\\"b\\\":1}":             "x{\\\"password\\\":\\\"#\\\",\\\"b\\\":1}",
		"{\"password\":\"a\\\\\",\"b\":1,,":                                   "{\"password\":\"#\",\"b\":1,,",
		"{\"password\":\"a\\\"b\",\"b\":1,,":                                  "{\"password\":\"#\",\"b\":1,,",
		"\xff Bearer abcdef123456":                                            "\xff Bearer #",
	} {
		rec := []byte(in)
		got, n := r.RedactBytes(rec)
		if blank(string(got)) != want || n != strings.Count(want, "#") {
			t.Errorf("%q\n got %q (%d)\nwant %q", in, blank(string(got)), n, want)
		}
		if string(rec) != in {
			t.Errorf("%q was overwritten: %q", in, rec)
		}
		if again, n := r.RedactBytes(got); string(again) != string(got) || n != 0 {
			t.Errorf("%q: redacted again: %q", got, again)
		}
	}
}

// secretsIn collects, by a walk of its own, what no file may hold.
func secretsIn(v any, name string, found map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			secretsIn(x, k, found)
		}
	case []any:
		for _, x := range v {
			secretsIn(x, name, found)
		}
	case string:
		switch strings.ToLower(name) {
		case "sessiontoken", "secretaccesskey", "masteruserpassword", "password", "clientsecret", "readtoken", "tokenvalue":
			if v != "" {
				found[v] = true
			}
		}
		if strings.HasPrefix(v, "{") {
			var inner any
			if json.Unmarshal([]byte(v), &inner) == nil {
				secretsIn(inner, "", found)
			}
		}
	}
}

// keptIn collects the values of members that are no secrets.
func keptIn(v any, name string, found map[string]int) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			keptIn(x, k, found)
		}
	case []any:
		for _, x := range v {
			keptIn(x, name, found)
		}
	case string:
		switch name {
		case "secretId", "SecretARN", "SecretVersionId", "clientRequestToken", "accessKeyId", "nextToken", "secretName", "arn", "eventID":
			found[name+"="+v]++
		}
	}
}

func TestRedactRealData(t *testing.T) {
	root := sharedData(t)
	r := newRedactor(t, intake.Rules{})
	records, secrets, redacted := 0, map[string]bool{}, 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") && !strings.HasSuffix(path, ".jsonl") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, rec := range topRecords(data) {
			records++
			var before, after any
			if err := json.Unmarshal([]byte(rec), &before); err != nil {
				t.Fatal(err)
			}
			mine := map[string]bool{}
			secretsIn(before, "", mine)
			got, n := redactInfo(r, rec)
			redacted += n
			if err := json.Unmarshal([]byte(got), &after); err != nil {
				t.Fatalf("%s: no longer JSON: %v: %s", path, err, got)
			}
			left, kept, keptBefore := map[string]bool{}, map[string]int{}, map[string]int{}
			secretsIn(after, "", left)
			for s := range left {
				if !tagRE.MatchString(s) {
					t.Errorf("%s: %q is left", path, s)
				}
			}
			keptIn(before, "", keptBefore)
			keptIn(after, "", kept)
			if diff := cmp.Diff(keptBefore, kept); diff != "" {
				t.Errorf("%s: identifiers changed: %s", path, diff)
			}
			for s := range mine {
				secrets[s] = true
				if len(s) >= 16 && strings.Contains(got, s) {
					t.Errorf("%s: %q is in the text", path, s)
				}
			}
			if again, n := redactInfo(r, got); again != got || n != 0 {
				t.Errorf("%s: redacted again (%d)", path, n)
			}
			if out, n2 := r.RedactBytes([]byte(rec)); string(out) != got || n2 != n {
				t.Errorf("%s: RedactBytes gives something else", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d records, %d different secrets by their names, %d redacted", records, len(secrets), redacted)
	if records < 2122 || len(secrets) < 11 || redacted < 20 {
		t.Error("that is less than the data holds: the test does not look")
	}
}

// topRecords splits a file into the records that are JSON.
func topRecords(data []byte) (records []string) {
	var envelope struct{ Records []json.RawMessage }
	if json.Unmarshal(data, &envelope) == nil && envelope.Records != nil {
		for _, rec := range envelope.Records {
			records = append(records, string(rec))
		}
		return records
	}
	if json.Valid(data) {
		return []string{string(data)}
	}
	for line := range strings.Lines(string(data)) {
		if json.Valid([]byte(line)) {
			records = append(records, line)
		}
	}
	return records
}

// sharedData finds ../shared/data beside the repository.
func sharedData(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
	data := filepath.Join(filepath.Dir(dir), "shared", "data")
	if _, err := os.Stat(data); err != nil {
		t.Skip("SKIPPED: ../shared/data, real audit data, is not there")
	}
	return data
}

func TestRedactConcurrently(t *testing.T) {
	r := newRedactor(t, intake.Rules{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 200 {
				in := fmt.Sprintf(`{"password":"p%d","a":"postgres://u:p%d@h"}`, i, i)
				if got, n := redactInfo(r, in); n != 2 || strings.Contains(got, fmt.Sprintf("p%d", i)) {
					t.Errorf("got %s", got)
				}
			}
		})
	}
	wg.Wait()
}

// The quick look finds each shape wherever it stands.
func TestRedactFindsShapesAnywhere(t *testing.T) {
	r := newRedactor(t, intake.Rules{})
	run := "Ab0123456789Cd0123456789Ef0123456789Gh"
	for _, prefix := range []string{
		"IQoJ", "FwoG", "FQoG", "FQoD", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-",
		"sk_live_", "rk_live_", "sk-ant-", "sk-proj-", "npm_", "hvs.", "ya29.", "AIza", "Bearer ", "bearer ", "BEARER ", "eyJ0.eyJ1.", "eyJhbGciOiJIUzI1NiJ9.e30.", "eyJ9aaaaaa.eyJ9.",
		"Basic Og", "basic Og", "BASIC Og", "-----BEGIN EC PRIVATE KEY-----", "-----BEGIN PGP PRIVATE KEY BLOCK-----", "a://u:", "?sig=", "token=",
	} {
		sample := prefix + run
		switch prefix {
		case "eyJ0.eyJ1.":
			sample = "eyJ0" + run + ".e30." // unsigned
		case "a://u:":
			sample += "@h"
		}
		for k := range 12 {
			text := `["` + strings.Repeat("x", k) + " " + sample + `"]`
			if got, n := redactInfo(r, text); n != 1 || strings.Contains(got, run) {
				t.Errorf("%s became %s", text, got)
			}
		}
	}
}

// However deep a record is, it does not exhaust the stack.
func TestRedactDeep(t *testing.T) {
	r := newRedactor(t, intake.Rules{})
	deep := `{"password":"hunter2","a":` + strings.Repeat("[", 8<<20)
	if got, n := r.RedactBytes([]byte(deep)); n != 1 || strings.Contains(string(got), "hunter2") {
		t.Errorf("%d secrets found", n)
	}
}

// Text that was made to be slow is not: what takes time beyond the length of the text would not end within the test's.
func TestRedactHostile(t *testing.T) {
	r := newRedactor(t, intake.Rules{})
	size := 256 << 10
	if !effort.Thorough() {
		t.Log("floods are of 64 KiB: make test has them four times as long")
		size = 64 << 10
	}
	for _, unit := range []string{
		`@`, `a@`, `:@`, `/:@`, `=`, `a=`, `token=`, `token= `, `token="`, `:`, `://`, `://a:b`, `://a:b@`, `":`, `"":`, `\\`, `\\":`, `"`, `{`, `[`, `{"a":`, `{"password":`, `"password":`,
		`"password":"`, `\\"password\\":\\"`, `"token":{`, `eyJ`, `eyJ.`, `eyJaaaaaaaaaa-`, `-eyJaaaaaaaaaa`, `.eyJaaaaaaaaaa`, `eyJaaaaaaaaaa.a `, `-----BEGIN `,
		`-----BEGIN PRIVATE KEY`, `-----BEGIN CERTIFICATE-----`, `-----END `, `Bearer `, `Basic AAAAAAAA`, `Basic `, `IQoJ `, `ghp_`, `{"name":"token","value":{`, `[redacted:`,
		`{\"a\":\"`, ` `, "\n", `\u0061`, "\xff", `{"value":[{"name":"token"},`,
	} {
		flood := strings.Repeat(unit, size/len(unit))
		if _, n := r.RedactBytes([]byte(flood)); n < 0 {
			t.Error("negative count")
		}
		quoted, err := json.Marshal(map[string]string{"a": flood})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := redactInfo(r, string(quoted)); !json.Valid([]byte(got)) {
			t.Errorf("%q: no longer JSON", unit)
		}
	}
}

func FuzzRedact(f *testing.F) {
	for _, s := range []string{
		`{"password":"x","a":"{\"token\":[1]}","b":"ghp_0123456789abcdefABCDEF0123456789abcd"}`,
		`{"name":"DB_PASSWORD","value":{"value":"Bearer abc123","name":"token"},"values":["u://a:b@c"]}`,
		`{"secret":{"value":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln","id":7}}`,
		`[{"a":"-----BEGIN PRIVATE KEY-----\nx"},{"a":"?sig=a%2F&X-Amz-Signature=1"}]`,
		`"\u0070assword=1"`, `{"\ud800password":"\ud800"}`, `{"password":"\udc00\ud800"}`,
	} {
		f.Add(s)
	}
	// With a pattern every string is looked at: what the quick look passes over must be the same.
	r, slow := newRedactor(f, intake.Rules{}), newRedactor(f, intake.Rules{Patterns: []string{"never-matches-this"}})
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := jsontext.Parse([]byte(text)); err != nil {
			out, n := r.RedactBytes([]byte(text))
			if n == 0 && string(out) != text {
				t.Errorf("%q became %q, uncounted", text, out)
			}
			return
		}
		got, n := redactInfo(r, text)
		if _, err := jsontext.Parse([]byte(got)); err != nil {
			t.Fatalf("%s became %s: %v", text, got, err)
		}
		if n == 0 && got != text {
			t.Errorf("%s became %s, uncounted", text, got)
		}
		if again, m := redactInfo(r, got); again != got || m != 0 {
			t.Errorf("%s became %s, then %s", text, got, again)
		}
		if all, m := redactInfo(slow, text); all != got || m != n {
			t.Errorf("the quick look misses something: %s became %s, must be %s", text, got, all)
		}
	})
}

func TestHMACKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "redact.key")
	const racers = 8
	var (
		wg   sync.WaitGroup
		keys [racers]intake.HMACKey
	)
	for i := range racers {
		wg.Go(func() {
			var err error
			if keys[i], err = intake.LoadOrCreateHMACKey(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range keys {
		if len(k) != 32 || string(k) != string(keys[0]) {
			t.Errorf("keys differ, or are of %d bytes", len(k))
		}
	}
	again, err := intake.LoadOrCreateHMACKey(path)
	if err != nil || string(again) != string(keys[0]) {
		t.Errorf("loaded another key (%v)", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %x %q %d %v", again, again, again, again, again, again, again, struct{ K intake.HMACKey }{again})
	if marshalled, err := json.Marshal(map[string]any{"k": again}); err != nil || strings.Count(printed+string(marshalled), "[redacted]") != 9 {
		t.Errorf("printed as %s, %s (%v)", printed, marshalled, err)
	}
	for name, bad := range map[string]string{"empty": "", "short": "abcd", "not hex": strings.Repeat("x", 64), "twice": string(text) + string(text)} {
		p := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(p, []byte(bad), 0o400); err != nil {
			t.Fatal(err)
		}
		if _, err := intake.LoadOrCreateHMACKey(p); !errors.Is(err, intake.ErrHMACKey) {
			t.Errorf("%s: %v, want ErrHMACKey", name, err)
		}
	}
}

var cleanInfo = `{"bucketName":"example-logs-2023","Host":"example-logs-2023.s3.us-east-1.amazonaws.com","key":"AWSLogs/218007301253/CloudTrail/us-east-1/2023/07/10/file.json.gz","x-amz-acl":"bucket-owner-full-control","x-amz-server-side-encryption":"aws:kms","roleArn":"arn:aws:iam::218007301253:role/service-role/Reader"}`

func BenchmarkRedact(b *testing.B) {
	r := newRedactor(b, intake.Rules{})
	for name, text := range map[string]string{
		"clean300": cleanInfo,
		"clean30k": `{"items":[` + strings.Repeat(cleanInfo+",", 100) + `0]}`,
		"secret":   `{"credentials":{"accessKeyId":"AKIAIOSFODNN7EXAMPLE","sessionToken":"IQoJb3JpZ2luX2VjEC0aCXVzLWVhc3QtMSJHMEUCIQ"},` + cleanInfo[1:],
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				var e event.Event
				e.Set(event.Info, text)
				r.Redact(&e)
			}
		})
	}
}
