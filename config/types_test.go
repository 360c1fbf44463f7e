package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"daybook/config"
)

func TestDuration(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0s": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "1.5h": 90 * time.Minute, "30d": 30 * day, "7y": 7 * 365 * day,
		"1d12h": 36 * time.Hour, "1y1d": 366 * day, "168h": 7 * day, "250ms": 250 * time.Millisecond, "292y": 292 * 365 * day,
	} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.Std() != want {
			t.Errorf("%q: %v, %v; want %v", text, d, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "is not a length", "5": "has no unit", "1.5": "has no unit", "-1h": "negative", "1.5d": "is not a length", "d": "is not a length", "1h2d": "is not a length",
		"1w": "is not a length", "ever": "is not a length", "300y": "too long", "9999999999999999999d": "too long", "292y300d": "too long", "106751d24h": "too long", "1d-1h": "is not a length", "-1d": "negative",
	} {
		d := config.Duration(7)
		if err := d.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %q", text, d, err, want)
		} else if d != 7 {
			t.Errorf("%q: an error, and changed to %v", text, d)
		}
	}
	if got := config.Duration(36*time.Hour).String() + " " + config.Duration(14*day).String() + " " + config.Duration(90*time.Second).String(); got != "36h 14d 1m30s" {
		t.Error(got)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]config.Size{
		"0": 0, "1": 1, "1048576": 1 << 20, "64MiB": 64 << 20, "64 MiB": 64 << 20, "1.5GiB": 3 << 29, "0.5KiB": 512, "8388608TiB": -1, "9223372036854775807": 1<<63 - 1,
	} {
		var s config.Size
		err := s.UnmarshalText([]byte(text))
		if want < 0 != (err != nil) || (err == nil && s != want) {
			t.Errorf("%q: %v, %v; want %v", text, s, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "not a size", "MiB": "not a size", "1MB": "not a size", "-1": "negative", "1e3": "not a size", "1.5": "not a size", ".": "not a size", ".KiB": "not a size", "1.1.1KiB": "not a size",
		"0.3KiB": "whole number", "9223372036854775808": "too large", "99999999999GiB": "too large", "1/2KiB": "not a size", "0x10": "not a size", strings.Repeat("9", 1000): "not a size",
	} {
		s := config.Size(7)
		if err := s.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %q", text, s, err, want)
		} else if s != 7 {
			t.Errorf("%q: an error, and changed to %v", text, s)
		}
	}
	if got := fmt.Sprint(config.Size(0), config.Size(1000), config.Size(3<<29), config.Size(2<<30)); got != "0 1000 1536MiB 2GiB" {
		t.Error(got)
	}
}

func TestDateAndTime(t *testing.T) {
	var d config.Date
	if err := d.UnmarshalText([]byte("2024-02-29")); err != nil || d.String() != "2024-02-29" || !d.Time().Equal(time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)) {
		t.Error(d, err)
	}
	for _, text := range []string{"", "2023-02-29", "2023-2-1", "10.3.2026", "2026-03-10T00:00:00Z"} {
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("day %q: %v", text, d)
		}
	}
	for text, want := range map[string]string{"": "", "2026-03-10": "2026-03-10T00:00:00Z", "2026-03-10T01:00:00.5+02:00": "2026-03-09T23:00:00.5Z"} {
		var at config.Time
		if err := at.UnmarshalText([]byte(text)); err != nil || at.String() != want || at.Time.Location() != time.UTC {
			t.Errorf("time %q: %v, %v", text, at, err)
		}
	}
	var at config.Time
	for _, text := range []string{"now", "2026-03-10T01:00:00", "2026-03-10 01:00:00Z", "12:00"} {
		if err := at.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("time %q: %v", text, at)
		}
	}
}

// FuzzUnits: what is read is written so that it reads back the same.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"1d12h", "7y", "90s", "1h30m0.5s", "64MiB", "1.5GiB", "12", "0", "1ns"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d, d2 config.Duration
		if d.UnmarshalText([]byte(text)) == nil {
			if d < 0 {
				t.Fatalf("%q is negative: %d", text, d)
			}
			if err := d2.UnmarshalText([]byte(d.String())); err != nil || d2 != d {
				t.Fatalf("%q is %d, written %q, read %d, %v", text, d, d, d2, err)
			}
		}
		var s, s2 config.Size
		if s.UnmarshalText([]byte(text)) == nil {
			if s < 0 {
				t.Fatalf("%q is negative: %d", text, s)
			}
			if err := s2.UnmarshalText([]byte(s.String())); err != nil || s2 != s {
				t.Fatalf("%q is %d, written %q, read %d, %v", text, s, s, s2, err)
			}
		}
	})
}

func TestSecretIsNotPrinted(t *testing.T) {
	const hidden = "hunter2-hunter2"
	type holder struct {
		Open   config.Secret
		Nested config.Credentials
		shut   config.Secret // fmt calls no method of an unexported field
	}
	s := config.NewSecret(hidden)
	h := holder{Open: s, Nested: config.Credentials{SecretKey: s}, shut: s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%10.3s"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", &s)
		fmt.Fprintf(&out, verb+"\n", h)
		fmt.Fprintf(&out, verb+"\n", &h)
		fmt.Fprintf(&out, verb+"\n", []config.Secret{s})
	}
	fmt.Fprintln(&out, s, h, s.String(), h.shut.String())
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "s", s, "h", h, "p", &h)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "s", s, "h", h, "p", &h)
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		for _, v := range []any{s, &s, h, &h, map[string]config.Secret{"k": s}} {
			text, err := marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(text, []byte("[redacted]")) {
				t.Errorf("marshalled as %s", text)
			}
			out.Write(text)
		}
	}
	if strings.Contains(out.String(), "unter2") || strings.Contains(strings.ToLower(out.String()), fmt.Sprintf("%x", "unter2")) {
		t.Errorf("the secret was printed:\n%s", out.String())
	}
	if fmt.Sprint(s) != "[redacted]" || s.Reveal() != hidden || (config.Secret{}).Reveal() != "" || fmt.Sprint(config.Secret{}) != "[redacted]" {
		t.Error("not [redacted], or not revealed")
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	getenv := func(key string) (string, bool) {
		v, ok := map[string]string{"ACCESS": "access", "EMPTY": ""}[key]
		return v, ok
	}
	var s config.Store
	if _, err := s.Credentials(getenv); !errors.Is(err, config.ErrNoCredentials) {
		t.Errorf("none named: %v", err)
	}
	s.AccessKeyEnv, s.SecretKeyFile = "ACCESS", write("secret", "s3cr3t/+=\n")
	c, err := s.Credentials(getenv)
	if err != nil || c.AccessKey.Reveal() != "access" || c.SecretKey.Reveal() != "s3cr3t/+=" || c.SessionToken.Reveal() != "" {
		t.Errorf("%q %q %q %v", c.AccessKey.Reveal(), c.SecretKey.Reveal(), c.SessionToken.Reveal(), err)
	}
	// One that is named and cannot be read must not read as none, and all faults are told at once.
	s = config.Store{AccessKeyEnv: "EMPTY", SecretKeyFile: filepath.Join(dir, "none"), SessionTokenFile: write("two", "first\nsecond\n")}
	_, err = s.Credentials(getenv)
	for _, want := range []string{"store.access_key: the environment variable EMPTY is not set", "store.secret_key: open ", "store.session_token: ", "more than one line"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q in it", err, want)
		}
	}
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, config.ErrNoCredentials) || strings.Contains(err.Error(), "second") {
		t.Errorf("%v", err)
	}
	for _, file := range []string{write("empty", " \n"), write("long", strings.Repeat("x", 70<<10)), dir} {
		s = config.Store{AccessKeyFile: file}
		if c, err := s.Credentials(getenv); err == nil {
			t.Errorf("%s: %d bytes", file, len(c.AccessKey.Reveal()))
		}
	}
}
