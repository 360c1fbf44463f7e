package cloudtrail_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/event"
)

// object is a JSON object as the standard library reads it.
type object map[string]any

func (o object) object(name string) object { v, _ := o[name].(map[string]any); return v }

// text returns a text, and whether it is there.
func (o object) text(name string) (string, bool) { s, ok := o[name].(string); return s, ok }

func (o object) str(name string) string { s, _ := o.text(name); return s }

// mapped maps a record as the issue says, from what encoding/json makes of it; all but the type's table and the object. It is written apart from the
// decoder on purpose.
func mapped(r object) map[string]string {
	want := map[string]string{"provider": "aws"}
	put := func(field string, from object, member string) {
		if s, ok := from.text(member); ok {
			want[field] = s
		}
	}
	id := r.object("userIdentity")
	put("id", r, "eventID")
	put("error_code", r, "errorCode")
	put("error_message", r, "errorMessage")
	put("ip", r, "sourceIPAddress")
	put("user_agent", r, "userAgent")
	put("request_id", r, "requestID")
	put("region", r, "awsRegion")
	put("actor_name", id, "userName")
	put("actor_role", id.object("sessionContext").object("sessionIssuer"), "arn")
	put("credential_id", id, "accessKeyId")
	want["action"] = strings.Replace(r.str("eventSource"), ".amazonaws.com", "", 1) + ":" + r.str("eventName")

	types := map[string]string{
		"Root": "root", "IAMUser": "iam_user", "AssumedRole": "assumed_role", "FederatedUser": "federated_user", "AWSAccount": "aws_account",
		"AWSService": "aws_service", "Unknown": "unknown",
	}
	switch kind := id.str("type"); kind {
	case "":
		want["actor_type"] = "service"
		put("actor_id", r, "eventSource")
	case "AWSAccount":
		put("actor_id", id, "principalId")
	case "AWSService":
		put("actor_id", id, "invokedBy")
	default:
		put("actor_id", id, "arn")
	}
	if kind := id.str("type"); kind != "" {
		want["actor_type"] = types[kind]
	}
	key, principal := id.str("accessKeyId"), id.str("principalId")
	if len(key) > 4 {
		want["token_last4"] = key[len(key)-4:]
	}
	if i := strings.Index(principal, ":"); i >= 0 && !strings.HasPrefix(key, "AKIA") {
		want["token_label"] = principal[i+1:]
	}
	if kind := id.str("type"); principal != "" && (kind == "AssumedRole" || kind == "FederatedUser") {
		want["session_id"] = principal
	}
	if want["project_id"] = r.str("recipientAccountId"); want["project_id"] == "" {
		put("project_id", id, "accountId")
	}
	if want["project_id"] == "" {
		delete(want, "project_id")
	}

	failed := r.str("errorCode") != "" || r.str("errorMessage") != ""
	if r.str("eventType") == "AwsConsoleSignIn" || r.str("eventSource") == "signin.amazonaws.com" {
		failed = failed || slices.Contains(slices.Collect(maps.Values(r.object("responseElements"))), any("Failure"))
	}
	want["outcome"] = map[bool]string{true: "failure", false: "success"}[failed]
	return want
}

func TestRealRecordsAgainstEncodingJSON(t *testing.T) {
	n := 0
	for name, data := range files(t, shared(t, "cloudtrail")) {
		all, _ := decode(data)
		for _, d := range all {
			if d.err != nil {
				continue
			}
			n++
			text := d.text
			var r object
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if inner, ok := r.text("CloudTrailEvent"); ok {
				text, r = []byte(inner), nil
				if err := json.Unmarshal(text, &r); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			want := mapped(r)
			got := map[string]string{}
			for _, f := range event.Fields() {
				if d.event.Has(f) {
					got[f.String()] = d.event.Get(f)
				}
			}

			var members struct {
				RequestParameters, ServiceEventDetails json.RawMessage
			}
			if err := json.Unmarshal(text, &members); err != nil {
				t.Fatal(err)
			}
			want["raw"] = compacted(t, text)
			if info := compacted(t, members.RequestParameters); info != "" && info != "null" {
				want["info"] = info
			}
			if info := compacted(t, members.ServiceEventDetails); info != "" && info != "null" && r.str("eventType") == "AwsServiceEvent" {
				want["info"] = info
			}

			checkType(t, r, got["type"])
			checkObject(t, r, got)
			for _, field := range []string{"type", "object_type", "object_id", "object_name"} {
				delete(got, field)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", name, r.str("eventID"), diff)
			}
			at, err := time.Parse(time.RFC3339, r.str("eventTime"))
			if err != nil || !d.event.Time.Equal(at) || d.event.Time.Location() != time.UTC {
				t.Errorf("%s: time %v of %q", name, d.event.Time, r.str("eventTime"))
			}
		}
	}
	if n != 2122+185+202+155+206 {
		t.Errorf("%d records", n)
	}
}

func compacted(t *testing.T, text []byte) string {
	t.Helper()
	if len(text) == 0 {
		return ""
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func checkType(t *testing.T, r object, got string) {
	t.Helper()
	readOnly, ok := r["readOnly"].(bool)
	if s, is := r.text("readOnly"); is {
		readOnly, ok = s == "True", true
	}
	want := "api.call"
	if ok {
		want = map[bool]string{true: "api.read", false: "api.write"}[readOnly]
	}
	if r.str("eventName") == "ConsoleLogin" {
		want = "authentication.login"
	}
	if strings.HasPrefix(got, "api.") && got != want || want == "authentication.login" && got != want {
		t.Errorf("%s %s: type %q, want %q", r.str("eventSource"), r.str("eventName"), got, want)
	}
}

// ofCaller are those IAM calls in the real data that are about the caller where they name no user.
var ofCaller = []string{"GetUser", "ListAccessKeys", "ListSSHPublicKeys", "ListMFADevices", "CreateAccessKey", "ChangePassword"}

// checkObject checks the object where the issue says what it is, and that any other one is named in the record.
func checkObject(t *testing.T, r object, got map[string]string) {
	t.Helper()
	var buckets, others []string
	entries, _ := r["resources"].([]any)
	for _, entry := range entries {
		o := object(entry.(map[string]any))
		arn := o.str("ARN") + o.str("arn") + o.str("ARNPrefix")
		switch {
		case o.str("type") == "AWS::S3::Bucket" && !slices.Contains(buckets, arn):
			buckets = append(buckets, arn)
		case o.str("type") != "AWS::S3::Bucket" && !slices.Contains(others, arn):
			others = append(others, arn)
		}
	}
	what := r.str("eventSource") + " " + r.str("eventName") + " " + r.str("eventID")
	request, id := r.object("requestParameters"), r.object("userIdentity")
	want, known := "", true
	switch bucket, key := request.str("bucketName"), request.str("key"); {
	case len(others) == 1:
		want = others[0]
	case len(others) == 0 && len(buckets) == 1:
		want = buckets[0]
	case r.str("eventSource") == "s3.amazonaws.com" && key != "":
		want = bucket + "/" + key
	case r.str("eventSource") == "s3.amazonaws.com" && bucket != "":
		want = bucket
	case r.str("eventSource") == "iam.amazonaws.com" && request.str("userName") != "":
		want = request.str("userName")
	case r.str("eventSource") == "iam.amazonaws.com" && slices.Contains(ofCaller, r.str("eventName")):
		if want = id.str("userName"); want == "" {
			want = id.str("arn")
		}
	default:
		known = false
	}
	if known && got["object_id"] != want {
		t.Errorf("%s: object %q, want %q", what, got["object_id"], want)
	}
	if !known && got["object_id"] != "" {
		text, _ := json.Marshal([]any{r["requestParameters"], r["responseElements"]})
		quoted, _ := json.Marshal(got["object_id"])
		if !bytes.Contains(text, quoted) {
			t.Errorf("%s: object %q is not in the record", what, got["object_id"])
		}
	}
	if got["object_id"] == "" && (got["object_type"] != "" || got["object_name"] != "") {
		t.Errorf("%s: no object, but type %q and name %q", what, got["object_type"], got["object_name"])
	}
	if got["object_id"] != "" && got["object_type"] == "" {
		t.Errorf("%s: object %q without a type", what, got["object_id"])
	}
}
