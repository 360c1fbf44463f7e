package interop_test

import (
	"cmp"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"daybook/interop/rows"
)

// shared returns a folder of real audit data, and skips the test where it is absent.
func shared(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../shared/data", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: the data is not here: %v", err)
	}
	return path
}

// record is a source record, as encoding/json understands it.
type record map[string]any

// sourceRecords reads the records of all delivered files below dir.
func sourceRecords(t *testing.T, dir string) []record {
	t.Helper()
	var all []record
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var file struct{ Records []record }
		if err := json.Unmarshal(contents(t, path), &file); err != nil {
			return err
		}
		all = append(all, file.Records...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// text returns the text at a path of members, "" if there is none.
func (r record) text(path ...string) string {
	var v any = map[string]any(r)
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[name]
	}
	s, _ := v.(string)
	return s
}

// expect maps a record by the rules of the issue, in plain words: what an event must hold, but for its object and what only the decoder's own documentation
// decides.
func (r record) expect() rows.Row {
	kind := r.text("userIdentity", "type")
	principal := r.text("userIdentity", "principalId")
	key := r.text("userIdentity", "accessKeyId")
	e := rows.Row{
		"id": r.text("eventID"), "source": "cloudtrail", "org": "default", "time": r.text("eventTime"),
		"action": strings.TrimSuffix(r.text("eventSource"), ".amazonaws.com") + ":" + r.text("eventName"), "outcome": "success",
		"ip": r.text("sourceIPAddress"), "user_agent": r.text("userAgent"), "request_id": r.text("requestID"), "region": r.text("awsRegion"),
		"error_code": r.text("errorCode"), "error_message": r.text("errorMessage"), "credential_id": key, "provider": "aws",
		"actor_role": r.text("userIdentity", "sessionContext", "sessionIssuer", "arn"), "actor_name": r.text("userIdentity", "userName"),
		"project_id": r.text("recipientAccountId"),
	}
	if e["project_id"] == "" {
		e["project_id"] = r.text("userIdentity", "accountId")
	}
	if e["error_code"] != "" || e["error_message"] != "" || strings.Contains(r.text("responseElements", "ConsoleLogin"), "Failure") {
		e["outcome"] = "failure"
	}
	if len(key) > 4 {
		e["token_last4"] = key[len(key)-4:]
	}
	switch kind {
	case "":
		e["actor_id"], e["actor_type"] = r.text("eventSource"), "service"
	case "AWSService":
		e["actor_id"] = r.text("userIdentity", "invokedBy")
	case "AWSAccount", "SAMLUser", "WebIdentityUser":
		e["actor_id"] = principal
	case "IdentityCenterUser":
		e["actor_id"] = r.text("userIdentity", "onBehalfOf", "userId")
	default:
		e["actor_id"] = r.text("userIdentity", "arn")
	}
	if _, label, ok := strings.Cut(principal, ":"); ok && kind == "AssumedRole" && !strings.HasPrefix(key, "AKIA") {
		e["token_label"] = label
	}
	switch readOnly, told := r["readOnly"].(bool); {
	case r.text("eventName") == "ConsoleLogin":
		e["type"] = "authentication.login"
	case told && readOnly:
		e["type"] = "api.read"
	case told:
		e["type"] = "api.write"
	}
	maps.DeleteFunc(e, func(_, v string) bool { return v == "" })
	return e
}

// sorted returns the records in the order of the evidence.
func sorted(records []record) []record {
	return slices.SortedStableFunc(slices.Values(records), func(a, b record) int {
		return cmp.Or(strings.Compare(a.text("eventTime"), b.text("eventTime")), strings.Compare(a.text("eventID"), b.text("eventID")))
	})
}

// compareSource holds the evidence to the source: every record once, each with what expect says, its own object, and its redacted self in raw.
func compareSource(t *testing.T, records []record, evidence []rows.Row) {
	t.Helper()
	if len(records) != len(evidence) {
		t.Fatalf("%d events, %d records", len(evidence), len(records))
	}
	records = sorted(records)
	wrong := 0
	for i, r := range records {
		want, got := r.expect(), rows.Row{}
		if kind := evidence[i]["type"]; !strings.HasPrefix(kind, "api.") && want["type"] != "authentication.login" {
			want["type"] = kind // by the decoder's own table
		}
		for name := range want {
			if v, ok := evidence[i][name]; ok {
				got[name] = v
			}
		}
		diff := gocmp.Diff(want, got)
		for _, absent := range []string{"error_code", "token_label", "actor_role", "credential_id", "severity", "changes", "received", "tags", "reason", "project_name"} {
			if v := evidence[i][absent]; v != "" && want[absent] == "" {
				diff += absent + ": " + v + "\n"
			}
		}
		diff += redactedDiff("info", r.info(), parse(t, evidence[i]["info"]))
		diff += redactedDiff("raw", map[string]any(r), parse(t, evidence[i]["raw"]))
		diff += r.objectDiff(evidence[i])
		if diff == "" {
			continue
		}
		if wrong++; wrong <= 3 {
			t.Errorf("event %d, %s (-source +evidence):\n%s", i+1, want["id"], diff)
		}
	}
	if wrong > 3 {
		t.Errorf("and %d more events are wrong", wrong-3)
	}
}

// info is the input of the call; of a service's own event its details.
func (r record) info() any {
	if details := r["serviceEventDetails"]; r.text("eventType") == "AwsServiceEvent" && details != nil {
		return details
	}
	return r["requestParameters"]
}

func parse(t *testing.T, text string) any {
	t.Helper()
	if text == "" {
		return nil
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

var redacted = regexp.MustCompile(`\[redacted:[0-9a-f]{8}\]`)

// redactedDiff tells where got is other than want, but for values that were redacted.
func redactedDiff(path string, want, got any) string {
	switch got := got.(type) {
	case map[string]any:
		w, ok := want.(map[string]any)
		if !ok {
			break
		}
		diff := ""
		for name := range w {
			if _, ok := got[name]; !ok {
				diff += path + "." + name + ": is missing\n"
			}
		}
		for name, v := range got {
			diff += redactedDiff(path+"."+name, w[name], v)
		}
		return diff
	case []any:
		w, ok := want.([]any)
		if !ok || len(w) != len(got) {
			break
		}
		diff := ""
		for i := range w {
			diff += redactedDiff(path+"[]", w[i], got[i])
		}
		return diff
	case string:
		if redacted.MatchString(got) {
			return ""
		}
	}
	return gocmp.Diff(want, got)
}

// objectDiff wants the object to be one that the record itself names, whole or as bucket and key.
func (r record) objectDiff(e rows.Row) string {
	id := e["object_id"]
	if id == "" {
		return ""
	}
	texts := map[string]bool{}
	collect(map[string]any(r), func(_, text string) { texts[text] = true })
	if texts[id] {
		return ""
	}
	if parts := strings.FieldsFunc(strings.TrimPrefix(id, "arn:aws:s3:::"), func(c rune) bool { return c == '/' || c == ':' }); len(parts) > 1 {
		for text := range texts {
			if text != "" && strings.HasSuffix(id, text) && texts[strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(id, text), "arn:aws:s3:::"), "/")] {
				return ""
			}
		}
	}
	return "object_id " + id + ": the record does not say that\n"
}

// collect calls found with every text of v, and the name of the member that it stands in.
func collect(v any, found func(name, text string)) { collectIn("", v, found) }

func collectIn(name string, v any, found func(name, text string)) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			collectIn(name, member, found)
		}
	case []any:
		for _, element := range v {
			collectIn(name, element, found)
		}
	case string:
		found(name, v)
	}
}
