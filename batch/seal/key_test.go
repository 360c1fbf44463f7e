package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal"
	"daybook/sink"
)

func newKey(t *testing.T) (seal.Key, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys", "sign.key")
	k, err := seal.GenerateKey(path, "daybook")
	if err != nil {
		t.Fatal(err)
	}
	return k, path
}

func TestKeyRoundTrip(t *testing.T) {
	k, path := newKey(t)
	loaded, err := seal.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Public() != k.Public() || loaded.Name() != "daybook" {
		t.Errorf("loaded %v, want %v", loaded, k)
	}
	public, err := seal.LoadPublicKey(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if public != k.Public() || public.ID() != k.ID() || public.Fingerprint() != k.Fingerprint() {
		t.Errorf("public file holds %v, want %v", public, k)
	}
	if !regexp.MustCompile(`^[0-9a-f]{4}(-[0-9a-f]{4}){5}$`).MatchString(k.Fingerprint()) || strings.ReplaceAll(k.Fingerprint(), "-", "") != k.ID() {
		t.Errorf("fingerprint %q, id %q", k.Fingerprint(), k.ID())
	}
	sig, err := loaded.Sign([]byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(public.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	if !v.Verify([]byte("text"), sig) || v.Verify([]byte("test"), sig) {
		t.Error("the public key does not check what the private one signed")
	}
}

func TestGenerateKeyRefuses(t *testing.T) {
	_, path := newKey(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.GenerateKey(path, "other"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a key: %v, want fs.ErrExist", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the key was changed (%v)", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := seal.LoadOrCreateKey(path, "other"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("beside the public half of a lost key: %v, want fs.ErrExist", err)
	}
	for _, name := range []string{"", "a b", "a+b", "a\nb", "a\u00a0b", "a\xff", "a\u202eb"} {
		if _, err := seal.GenerateKey(filepath.Join(t.TempDir(), "k"), name); err == nil {
			t.Errorf("took the name %q", name)
		}
	}
}

func TestLoadOrCreateKeyRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sign.key")
	const racers = 8
	var (
		wg      sync.WaitGroup
		keys    [racers]seal.Key
		created [racers]bool
	)
	for i := range racers {
		wg.Go(func() {
			var err error
			if keys[i], created[i], err = seal.LoadOrCreateKey(path, "daybook"); err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	makers := 0
	for i := range racers {
		if created[i] {
			makers++
		}
		if keys[i].Public() != keys[0].Public() {
			t.Errorf("racers 0 and %d have different keys", i)
		}
	}
	if makers != 1 {
		t.Errorf("%d racers made the key, want 1", makers)
	}
}

func TestLoadOrCreateKeyWritesAMissingPublicFile(t *testing.T) {
	k, path := newKey(t)
	if err := os.Remove(path + ".pub"); err != nil {
		t.Fatal(err)
	}
	if _, created, err := seal.LoadOrCreateKey(path, "daybook"); created || err != nil {
		t.Fatalf("created %v, %v", created, err)
	}
	if public, err := seal.LoadPublicKey(path + ".pub"); public != k.Public() || err != nil {
		t.Errorf("public file: %v, %v", public, err)
	}
	other, _ := newKey(t)
	if err := errors.Join(os.Remove(path+".pub"), os.WriteFile(path+".pub", other.PublicPEM(), 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := seal.LoadOrCreateKey(path, "daybook"); !errors.Is(err, seal.ErrKey) {
		t.Errorf("with another key's public file: %v, want ErrKey", err)
	}
}

func TestAPublicKeyDoesNotSign(t *testing.T) {
	_, path := newKey(t)
	var hint *sink.HintError
	if _, err := seal.LoadKey(path + ".pub"); !errors.Is(err, seal.ErrKey) || !errors.As(err, &hint) || !strings.HasSuffix(hint.Hint, path) {
		t.Errorf("got %v", err)
	}
}

func TestKeyNeverPrints(t *testing.T) {
	k, path := newKey(t)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.SplitN(strings.TrimSpace(string(file)), "+", 5)[4]
	seed, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		// The last is a field that fmt can't ask: it prints what it finds there, the public key's bytes, which may hold line feeds.
		printed := fmt.Sprintf(verb+" "+verb+" "+verb+"\n", k, struct{ K any }{&k}, struct{ k seal.Key }{k})
		if !strings.HasPrefix(printed, k.String()+" ") {
			t.Errorf("%s: printed as %q", verb, printed)
		}
		out.WriteString(printed)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "key", k, "in", struct{ K seal.Key }{k})
	data, err := json.Marshal(map[string]any{"k": k})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(data)
	for _, form := range []string{secret[8:20], hex.EncodeToString(seed[8:16]), strings.Trim(fmt.Sprint(seed[8:16]), "[]")} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret is printed as %s:\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), k.Fingerprint()) {
		t.Errorf("the fingerprint is not printed:\n%s", out.String())
	}
}

func TestParseKeyRefuses(t *testing.T) {
	k, path := newKey(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":         "",
		"no key":        "hunter2\n",
		"cut":           string(good[:len(good)-9]),
		"public key":    string(k.PublicPEM()),
		"two keys":      string(good) + string(good),
		"another name":  strings.Replace(string(good), "+daybook+", "+daybrook+", 1),
		"wrong type":    strings.Replace(string(good), "+A", "+B", 1),
		"not even text": "\xff\xfe",
	} {
		bad := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(bad, []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.LoadKey(bad); !errors.Is(err, seal.ErrKey) {
			t.Errorf("%s: %v, want ErrKey", name, err)
		} else if strings.Contains(err.Error(), strings.TrimSpace(text)) && text != "" {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
}

func TestParsePublicKeyRefuses(t *testing.T) {
	k, _ := newKey(t)
	other, _ := newKey(t)
	good, foreign := string(k.PublicPEM()), string(other.PublicPEM())
	comment, block, _ := strings.Cut(good, "\n")
	otherComment, _, _ := strings.Cut(foreign, "\n")
	for name, text := range map[string]string{
		"empty":            "",
		"no comment":       block,
		"no block":         comment + "\n",
		"other comment":    otherComment + "\n" + block,
		"two blocks":       good + block,
		"text behind":      good + "x",
		"wrong hash":       strings.Replace(good, "daybook+", "daybook+f", 1),
		"control in name":  "# a\u202eb" + strings.TrimPrefix(good, "# daybook"),
		"another comment":  "# hello\n" + good,
		"not base64":       "# daybook+00000000+!!\n" + block,
		"only a plus sign": "# +\n" + block,
	} {
		if _, err := seal.ParsePublicKey([]byte(text)); !errors.Is(err, seal.ErrKey) {
			t.Errorf("%s: %v, want ErrKey", name, err)
		}
	}
	if p, err := seal.ParsePublicKey([]byte(good)); p != k.Public() || err != nil {
		t.Errorf("good: %v, %v", p, err)
	}
}

// Who gives the private key to a verifier is told what to give instead.
func TestLoadPublicKey(t *testing.T) {
	k, path := newKey(t)
	if p, err := seal.LoadPublicKey(path + ".pub"); p != k.Public() || err != nil {
		t.Errorf("PATH.pub: %v, %v", p, err)
	}
	_, err := seal.LoadPublicKey(path)
	var hint *sink.HintError
	if !errors.Is(err, seal.ErrKey) || !errors.As(err, &hint) || !strings.Contains(hint.Hint, path+".pub") {
		t.Errorf("PATH: %v, want ErrKey and a hint", err)
	}
	secret, readErr := os.ReadFile(path)
	if readErr != nil || strings.Contains(err.Error()+hint.Hint, string(secret[20:40])) {
		t.Errorf("the error tells the secret: %v", err)
	}
}

func TestVerifierKey(t *testing.T) {
	k, _ := newKey(t)
	good := k.Public().VerifierKey()
	if p, err := seal.ParseVerifierKey(good); p != k.Public() || err != nil {
		t.Errorf("%s: %v, %v", good, p, err)
	}
	for _, bad := range []string{"", "+", "++", "daybook", good + "=", " " + good, good + "\n", strings.Replace(good, "daybook", "daybrook", 1), strings.ToUpper(good)} {
		if _, err := seal.ParseVerifierKey(bad); !errors.Is(err, seal.ErrKey) {
			t.Errorf("%q: %v, want ErrKey", bad, err)
		}
	}
}

// The same key signs under another name: other name and key hash, same ID, and neither signature stands for the other.
func TestCheckpointSigner(t *testing.T) {
	k, _ := newKey(t)
	s, err := seal.CheckpointSigner(k, "log.example.com/a")
	if err != nil {
		t.Fatal(err)
	}
	signedNote, err := note.Sign(&note.Note{Text: "text\n"}, s)
	if err != nil {
		t.Fatal(err)
	}
	named, err := k.Public().Named("log.example.com/a")
	if err != nil || named.ID() != k.ID() || named == k.Public() || named.Verifier().KeyHash() != s.KeyHash() || s.KeyHash() == k.KeyHash() {
		t.Errorf("named: %v, %v", named, err)
	}
	if _, err := note.Open(signedNote, seal.Verifiers(named)); err != nil {
		t.Error(err)
	}
	if _, err := note.Open(signedNote, seal.Verifiers(k.Public())); err == nil {
		t.Error("it passes under the key's own name")
	}
	if _, err := seal.CheckpointSigner(k, "a b"); !errors.Is(err, seal.ErrKey) {
		t.Errorf("a name with a blank: %v", err)
	}
}

func FuzzParsePublicKey(f *testing.F) {
	f.Add([]byte("# a+b+c\n-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := seal.ParsePublicKey(data)
		if err == nil && !bytes.Equal(bytes.TrimSpace(p.PEM()), bytes.TrimSpace(data)) {
			t.Errorf("accepted %q, which is not what it holds", data)
		}
	})
}

// The command in the comment of PublicKey.ID gives the ID.
func TestFingerprintWithStockTools(t *testing.T) {
	needTools(t, "sh", "openssl", "sha256sum", "cut")
	k, path := newKey(t)
	cmd := exec.Command("sh", "-c", `openssl pkey -pubin -in "$1" -outform DER | sha256sum | cut -c1-24`, "sh", path+".pub")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(out)); got != k.ID() {
		t.Errorf("stock tools say %s, ID is %s", got, k.ID())
	}
}

func needTools(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("SKIPPED: %s is not installed", name)
		}
	}
}
