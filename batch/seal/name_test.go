package seal_test

import (
	"regexp"
	"strings"
	"testing"

	"daybook/batch/seal"
	"daybook/event"
	"daybook/formats"
	"daybook/sink"
)

const march10 = event.Day(20522)

func TestFileKey(t *testing.T) {
	name := func(change func(*seal.FileName)) seal.FileName {
		f := seal.FileName{Format: formats.CSV, Class: "standard", Trail: "acme", Day: march10, Part: 1, Compression: seal.Gzip}
		change(&f)
		return f
	}
	for want, f := range map[string]seal.FileName{
		"csv/class=standard/trail=acme/dt=2026-03-10/acme-2026-03-10.0001.csv.gz": name(func(*seal.FileName) {}),
		"csv/class=standard/trail=acme/dt=2026-03-10/acme-2026-03-10.0012.csv": name(func(f *seal.FileName) {
			f.Part, f.Compression = 12, seal.Uncompressed
		}),
		"csv/class=standard/trail=acme/dt=2026-03-10/acme-2026-03-10.addendum-0003.0001.csv.gz": name(func(f *seal.FileName) { f.Addendum = 3 }),
		"csv/class=standard/trail=acme/dt=2026-03-10/project=project-xxxx/acme-project-xxxx-2026-03-10.0001.csv.gz": name(func(f *seal.FileName) {
			f.Split, f.Project = seal.ByProject, "project-xxxx"
		}),
		"csv/class=standard/trail=acme/dt=2026-03-10/project=__HIVE_DEFAULT_PARTITION__/acme-__HIVE_DEFAULT_PARTITION__-2026-03-10.0001.csv.gz": name(func(f *seal.FileName) {
			f.Split = seal.ByProject
		}),
		"csv/class=standard/trail=acme/dt=2026-03-10/project=__OTHER_PROJECTS__/acme-__OTHER_PROJECTS__-2026-03-10.0001.csv.gz": name(func(f *seal.FileName) {
			f.Split = seal.Rest
		}),
		"parquet/class=standard/trail=acme/dt=2026-03-10/acme-2026-03-10.0001.parquet": name(func(f *seal.FileName) {
			f.Format, f.Compression = formats.Parquet, seal.Uncompressed
		}),
		"syslog/class=a%2Fb/trail=%2E%2E/dt=2026-03-10/%2E.-2026-03-10.0001.log.zst": name(func(f *seal.FileName) {
			f.Format, f.Compression, f.Class, f.Trail = formats.Syslog, seal.Zstd, "a/b", ".."
		}),
	} {
		want = strings.ReplaceAll(want, "%2E%2E", "%2E.") // only the leading dot is encoded
		if got := seal.FileKey(f); got != want {
			t.Errorf("FileKey(%+v)\n got %s\nwant %s", f, got, want)
		}
	}
}

func TestSealKeys(t *testing.T) {
	for got, want := range map[string]string{
		seal.ManifestKey("acme", 42):         "seals/acme/00000042/manifest.json",
		seal.NoteKey("acme", 42):             "seals/acme/00000042/SHA256SUMS.note",
		seal.NoteKey("../x", 123456789):      "seals/%2E.%2Fx/123456789/SHA256SUMS.note",
		seal.KeyKey("0123456789abcdef01234"): "keys/0123456789abcdef01234.pem",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestEncodeName(t *testing.T) {
	for in, want := range map[string]string{
		"":                           "__HIVE_DEFAULT_PARTITION__",
		"project-BQbJ_1.x":           "project-BQbJ_1.x",
		".hidden":                    "%2Ehidden",
		"_x":                         "%5Fx",
		"__HIVE_DEFAULT_PARTITION__": "%5F_HIVE_DEFAULT_PARTITION__",
		"__OTHER_PROJECTS__":         "%5F_OTHER_PROJECTS__",
		"../../etc/passwd":           "%2E.%2F..%2Fetc%2Fpasswd",
		"a b:c":                      "a%20b%3Ac",
		"100%":                       "100%25",
		"ü":                          "%C3%BC",
		"\x00\xff\n":                 "%00%FF%0A",
		strings.Repeat("a", 100):     strings.Repeat("a", 100),
		strings.Repeat("a", 101):     strings.Repeat("a", 67) + "!b5a3e8c5cd5f4d16ec5f27b0f4d8eef5",
		strings.Repeat("é", 1000):    strings.Repeat("%C3%A9", 11) + "!",
	} {
		got := seal.EncodeName(in)
		if i := strings.IndexByte(want, '!'); i >= 0 {
			// The digits are checked by TestEncodeNameHash.
			if len(got) != i+33 || got[:i+1] != want[:i+1] {
				t.Errorf("EncodeName(%.20q…) = %s, want %s and 32 digits", in, got, want[:i+1])
			}
			continue
		}
		if got != want {
			t.Errorf("EncodeName(%q) = %s, want %s", in, got, want)
		}
	}
}

// A cut name ends in the SHA-256 of the whole name, so names that begin alike stay apart.
func TestEncodeNameHash(t *testing.T) {
	long := strings.Repeat("a", 10_000)
	a, b := seal.EncodeName(long+"1"), seal.EncodeName(long+"2")
	sum := seal.Sum([]byte(long + "1")).String()
	if a == b || !strings.HasSuffix(a, "!"+sum[:32]) {
		t.Errorf("encoded as %s and %s", a, b)
	}
	if again := seal.EncodeName(a); again == a {
		t.Errorf("a name that looks like a cut one is not told from it: %s", a)
	}
}

var encoded = regexp.MustCompile(`^([A-Za-z0-9-]|%[0-9A-F]{2})([A-Za-z0-9._-]|%[0-9A-F]{2})*(![0-9a-f]{32})?$`)

// decodeName undoes EncodeName, unless it cut the name.
func decodeName(t *testing.T, s string) (name string, whole bool) {
	if s == "__HIVE_DEFAULT_PARTITION__" {
		return "", true
	}
	if !encoded.MatchString(s) || len(s) > 100 {
		t.Fatalf("%q is not an encoded name", s)
	}
	if strings.Contains(s, "!") {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		b.WriteByte(byte(strings.IndexByte("0123456789ABCDEF", s[i+1])<<4 | strings.IndexByte("0123456789ABCDEF", s[i+2])))
		i += 2
	}
	return b.String(), true
}

func FuzzFileKey(f *testing.F) {
	f.Add("standard", "acme", "../../etc/passwd", "standard", "acme", "", uint8(0), uint8(1))
	f.Add("a", "b-c", "d", "a", "b", "c-d", uint8(2), uint8(2))
	f.Add(strings.Repeat("ü", 99), strings.Repeat("x", 400), "__OTHER_PROJECTS__", "\xff", ".", "_", uint8(1), uint8(0))
	f.Fuzz(func(t *testing.T, class1, trail1, project1, class2, trail2, project2 string, n1, n2 uint8) {
		make := func(class, trail, project string, n uint8) seal.FileName {
			f := seal.FileName{Format: formats.CSV, Class: class, Trail: trail, Day: march10, Addendum: int(n & 3), Part: 1 + int(n>>2&3), Compression: seal.Gzip}
			switch n >> 4 % 3 {
			case 1:
				f.Split, f.Project = seal.ByProject, project
			case 2:
				f.Split = seal.Rest
			}
			return f
		}
		one, two := make(class1, trail1, project1, n1), make(class2, trail2, project2, n2)
		for _, f := range []seal.FileName{one, two} {
			key := seal.FileKey(f)
			if err := sink.CheckKey(key); err != nil {
				t.Fatal(err)
			}
			if strings.Count(key, "/") != 4+min(len(f.Split), 1) {
				t.Fatalf("%s has another shape", key)
			}
			if err := sink.CheckKey(seal.NoteKey(f.Trail, 1)); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{f.Class, f.Trail, f.Project} {
				if back, whole := decodeName(t, seal.EncodeName(name)); whole && back != name {
					t.Fatalf("%q is encoded as %q", name, back)
				}
			}
		}
		if k1, k2 := seal.FileKey(one), seal.FileKey(two); (one == two) != (k1 == k2) {
			t.Fatalf("%+v and %+v: keys %s and %s", one, two, k1, k2)
		}
	})
}
