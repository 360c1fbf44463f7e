package receiver_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"daybook/batch/intake/receiver"
)

// FuzzBody holds that every record of any body ends in one place, that an answer tells which, and that what is sent again is nothing but duplicates.
func FuzzBody(f *testing.F) {
	for _, s := range []string{"", line("a") + "\n" + line("b"), "[" + line("a") + ",1]", gz(f, line("a")), "PK\x03\x04"} {
		f.Add([]byte(s), "auto", "")
		f.Add([]byte(s), "jsonl", "gzip")
	}
	f.Fuzz(func(t *testing.T, data []byte, format, encoding string) {
		b := &backend{t: t}
		h, err := receiver.New(b, credentials{}, settings(t), &receiver.Options{ChunkEvents: 3, MaxBody: 1 << 20, MaxContent: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		send := func(body io.Reader) (code int, a receiver.Answer) {
			t.Helper()
			r := httptest.NewRequest(http.MethodPost, "/", body)
			r.URL.RawQuery = "format=" + strings.Map(letter, format)
			r.Header.Set("Authorization", "Bearer good")
			r.Header["Content-Encoding"] = []string{encoding}
			w := httptest.NewRecorder()
			rejected, known := len(b.rejections), len(b.rows)
			h.ServeHTTP(w, r)
			if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if int64(len(b.rejections)-rejected) != a.RejectedTotal || int64(len(b.rows)-known) != a.Accepted || b.open != 0 {
				t.Errorf("%d kept, %d in quarantine, told %s", len(b.rows)-known, len(b.rejections)-rejected, w.Body)
			}
			return w.Code, a
		}
		code, first := send(bytes.NewReader(data))
		switch code {
		case 200, 400, 413, 415:
		default:
			t.Errorf("%d %+v", code, first)
		}
		again, second := send(iotest.HalfReader(bytes.NewReader(data)))
		if again != code || second.Accepted != 0 || second.Duplicate != first.Accepted+first.Duplicate || second.RejectedTotal != first.RejectedTotal || second.NotTracked != first.NotTracked {
			t.Errorf("at first %d %+v, again %d %+v", code, first, again, second)
		}
		if code, broken := send(io.MultiReader(bytes.NewReader(data), iotest.ErrReader(errLedger))); code == 200 || broken.Accepted != 0 {
			t.Errorf("broken off: %d %+v", code, broken)
		}
	})
}

func letter(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r
	}
	return -1
}
