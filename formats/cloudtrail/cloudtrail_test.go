package cloudtrail_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"daybook/event"
	"daybook/formats/cloudtrail"
	"daybook/formats/jsontext"
)

// with is a record with some of its members set anew.
func with(members string) []byte {
	return []byte(`{"eventTime":"2026-03-10T08:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject"` + members + `}`)
}

func TestIP(t *testing.T) {
	for ip, ok := range map[string]bool{
		"192.0.2.1": true, "2001:db8::1": true, "": true, "AWS Internal": true, "AWS Internal/3": true, "cloudtrail.amazonaws.com": true, "ec2_x.a-b.example": true,
		"702.21.198.166": false, "192.0.2.1:443": false, "redacted": false, "06.237.252.245": false, "<Victim source IP>": false, "1.2.3": false,
		"a.b c": false, "not an ip.": false,
	} {
		var e event.Event
		text, err := json.Marshal(ip)
		if err != nil {
			t.Fatal(err)
		}
		if err := (cloudtrail.Decoder{}).Decode(with(`,"sourceIPAddress":`+string(text)), &e); err != nil {
			t.Fatal(err)
		}
		if e.Get(event.IP) != ip || !e.Has(event.IP) || e.HasFlag(event.FlagIPInvalid) == ok {
			t.Errorf("%q: ip %q, flags %v", ip, e.Get(event.IP), e.Flags)
		}
	}
}

func TestNullIsAbsentAndEmptyIsNot(t *testing.T) {
	var e event.Event
	text := with(`,"sourceIPAddress":null,"userAgent":"","errorCode":null,"requestParameters":null,"resources":null,"userIdentity":null,"readOnly":null`)
	if err := (cloudtrail.Decoder{}).Decode(text, &e); err != nil {
		t.Fatal(err)
	}
	for _, f := range []event.Field{event.IP, event.ErrorCode, event.Info, event.ObjectID, event.ID, event.ProjectID, event.Severity} {
		if e.Has(f) {
			t.Errorf("%s is %q", f, e.Get(f))
		}
	}
	if !e.Has(event.UserAgent) || e.Get(event.Outcome) != event.Success || e.Get(event.Type) != "api.call" {
		t.Errorf("got %s", e.AppendJSON(nil))
	}
}

func TestInvalidUTF8IsItsOwnError(t *testing.T) {
	var e event.Event
	err := (cloudtrail.Decoder{}).Decode(with(",\"userAgent\":\"a\xffb\""), &e)
	if !errors.Is(err, jsontext.ErrUTF8) {
		t.Errorf("got %v", err)
	}
}

func TestSharesOrCompacts(t *testing.T) {
	for _, members := range []string{`,"requestParameters":{"a":[1.50,"x y"],"a":1e3}`, `, "requestParameters" : {"a" : [ 1.50, "x y" ], "a":1e3 }` + "\n"} {
		var e event.Event
		if err := (cloudtrail.Decoder{}).Decode(with(members), &e); err != nil {
			t.Fatal(err)
		}
		if got, want := e.Get(event.Info), `{"a":[1.50,"x y"],"a":1e3}`; got != want {
			t.Errorf("info %s, want %s", got, want)
		}
		if want := string(with(`,"requestParameters":{"a":[1.50,"x y"],"a":1e3}`)); e.Get(event.Raw) != want {
			t.Errorf("raw %s, want %s", e.Get(event.Raw), want)
		}
	}
}

// A parameter that occurs twice does not name the object: two readers would see two.
func TestDoubtfulParametersNameNoObject(t *testing.T) {
	for _, members := range []string{
		`,"requestParameters":{"bucketName":"a","bucketName":"b"}`,
		`,"requestParameters":{"bucketName":["a","b"]}`,
		`,"requestParameters":{"bucketName":["a","b"],"bucket":"c"}`,
		`,"requestParameters":{"bucketName":{"x":"a"}}`,
		`,"requestParameters":{"bucketName":7}`,
		`,"resources":[{"ARN":"arn:aws:s3:::a","arn":"arn:aws:s3:::b"}]`,
		`,"resources":[{"type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::a"},{"type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::b"}]`,
	} {
		var e event.Event
		if err := (cloudtrail.Decoder{}).Decode(with(members), &e); err != nil {
			t.Fatal(err)
		}
		if e.Has(event.ObjectID) {
			t.Errorf("%s: object %q", members, e.Get(event.ObjectID))
		}
	}
}

// The same event, delivered and looked up, must be the same row.
func TestLookedUpIsAsDelivered(t *testing.T) {
	record := with(`,"eventID":"7","requestParameters":{"key":"a\"b\\cé"},"readOnly":true`)
	text, err := json.Marshal(map[string]string{"EventId": "7", "EventName": "GetObject", "CloudTrailEvent": string(record)})
	if err != nil {
		t.Fatal(err)
	}
	var delivered, lookedUp event.Event
	if err := errors.Join((cloudtrail.Decoder{}).Decode(record, &delivered), (cloudtrail.Decoder{}).Decode(text, &lookedUp)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(delivered.AppendJSON(nil), lookedUp.AppendJSON(nil)) {
		t.Errorf("delivered %s\nlooked up %s", delivered.AppendJSON(nil), lookedUp.AppendJSON(nil))
	}
}

func TestDetect(t *testing.T) {
	record := string(with(""))
	tests := []struct {
		head            string
		records, digest bool
	}{
		{`{"Records":[` + record, true, false},
		{`{"Records":[]}`, true, false},
		{"\ufeff{ \"Records\" : [ ] }", true, false},
		{`{"Events":[]}`, true, false},
		{`{"x":[{}],"Records":[{},` + record, true, false},
		{"[\n" + record, true, false},
		{record, true, false},
		{record[:len(record)-5], true, false},
		{"hello\n{\"a\":\"\n" + record + "\n", true, false},
		{"{}\n{\"kind\":0}\n" + record, true, false},
		{`{"EventId":"1","CloudTrailEvent":"{`, true, false},
		{`{"Events":[{"CloudTrailEvent":"{`, true, false},
		{`{"awsAccountId":"1","digestStartTime":"x","digestEndTime":"y","digestS3Bucket":"b","logFiles":[]}`, false, true},
		{`{"records":[` + record, false, false},
		{`{"Records":{}}`, false, false},
		{`{"Records":[{"a":1}]}`, false, false},
		{`{"events":[{"id":"1"}]}`, false, false},
		{`{"id":"1","source":"x","time":"2026-03-10T08:00:00Z","raw":` + record + `}`, false, false},
		{`{"x":"eventTime","y":"eventSource","z":"eventName"}`, false, false},
		{`{"kind":0}`, false, false},
		{`]}"`, false, false},
		{"", false, false},
	}
	for _, test := range tests {
		if records, digest := cloudtrail.Detect([]byte(test.head)), cloudtrail.IsDigest([]byte(test.head)); records != test.records || digest != test.digest {
			t.Errorf("%s: Detect %v, IsDigest %v", test.head, records, digest)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, data := range files(f, root(f)+"/testdata/cloudtrail") {
		all, _ := decode(data)
		for _, d := range all {
			f.Add(d.text)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cloudtrail.Detect(data)
		before := bytes.Clone(data)
		var e event.Event
		err := (cloudtrail.Decoder{}).Decode(data, &e)
		if !bytes.Equal(data, before) {
			t.Fatal("the record was changed")
		}
		if err != nil {
			var syntax *jsontext.SyntaxError
			if !errors.As(err, &syntax) && strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("error %q", err)
			}
			return
		}
		row := e.AppendJSON(nil)
		if !json.Valid(row) || !utf8.Valid(row) || bytes.ContainsAny(row, "\n\r") {
			t.Fatalf("row %q of %q", row, data)
		}
		for _, f := range []event.Field{event.Type, event.Action, event.Outcome, event.Raw, event.Provider} {
			if e.Get(f) == "" {
				t.Errorf("no %s in %s", f, row)
			}
		}
	})
}
