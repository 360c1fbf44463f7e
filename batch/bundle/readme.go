package bundle

import (
	"fmt"
	"strings"
	"time"
)

// The steps of README.txt, each a script for a POSIX shell that is run in the folder of the bundle, and prints a line with FAILED for what is wrong. They stand
// there indented by four spaces.
const (
	// stepSums begins with the manifests: whoever removes a note, or puts another's in its place, has no loop to get out of. Only what is signed of a note counts.
	stepSums = `(cd store && export LC_ALL=C && t=$(mktemp -d) && for manifest in seals/*/*/manifest.json; do
  note=${manifest%manifest.json}SHA256SUMS.note
  sed '/^$/,$d' "$note" > "$t/text"
  [ "$(sha256sum "$manifest")" = "$(tail -n 1 "$t/text")" ] || echo "FAILED $manifest: no note of it"
  sha256sum -c --ignore-missing "$t/text" 2>/dev/null || echo "FAILED $note"
  { echo "$note"; sed -n 's/^[0-9a-f]*  //p' "$t/text"; } >> "$t/named"
done
find . ! -type d ! -path './log/*' ! -path './keys/*.pem' | cut -c3- | grep -vxFf "$t/named" | sed 's/^/FAILED, in no note: /'
find . -name '*[!A-Za-z0-9._%=!-]*' | sed 's/^/FAILED, not a name of these files: /'
rm -r "$t")`
	// stepSignatures takes a key only under the name that it gives, so that the key's line in a note leads nowhere else.
	stepSignatures = `(cd store && t=$(mktemp -d) && for note in seals/*/*/SHA256SUMS.note; do
  sed '/^$/,$d' "$note" > "$t/text"
  tail -n 1 "$note" | awk '{print $NF}' | base64 -d | tail -c +5 > "$t/sig"
  id=$(sed -n 's/^# key: //p' "$t/text" | tr -d -)
  [ "$(openssl pkey -pubin -in "keys/$id.pem" -outform DER | sha256sum | cut -c1-24)" = "$id" ] &&
  openssl pkeyutl -verify -pubin -inkey "keys/$id.pem" -rawin -in "$t/text" -sigfile "$t/sig" || echo "FAILED $note"
done; rm -r "$t")`
	stepKeys = `(cd store && sed -n 's/^# key: //p' seals/*/*/SHA256SUMS.note | sort | uniq -c)`
)

// readme is README.txt.
func (p *plan) readme() string {
	var b strings.Builder
	para := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n\n", args...) }
	script := func(step string) { b.WriteString("    " + strings.ReplaceAll(step, "\n", "\n    ") + "\n\n") }
	para("Sealed audit events, for an auditor\n===================================")
	para("Days:     %s\nTrails:   %s\nFormats:  %s\nSeals:    %d of these days, the newest of %s\nFiles:    %d, %d bytes\nNot here: %s", p.days(), p.trailNames(),
		p.formatNames(), p.summary.Seals, p.newest.UTC().Format(time.RFC3339), p.summary.Files, p.summary.Bytes, p.gone())
	para(`store/ has the files of these days, and all manifests and notes of the trails, since each names the one before. proofs/ shows for each seal of these
days that it is in the store's log. report.txt is what the maker of this bundle found: do not rely on it, verify.`)
	signed := p.prover != nil
	if signed {
		b.WriteString("The seals are signed. These are the fingerprints of the keys, as this bundle says:\n\n")
		for _, k := range p.prover.Keys() {
			fmt.Fprintf(&b, "    %s  store/keys/%s.pem\n", k.Fingerprint(), k.ID())
		}
		head := p.prover.Head()
		para(`
What a bundle says of its own keys proves nothing. Get the fingerprint of the newest key from its owner: over the telephone, or on paper.

The log is %q, its head:

    size %d
    root %v

Compare it with what a witness, a time-stamping authority or an earlier bundle says.`, printable(head.Origin), head.Size, head.Root)
	} else {
		para("THE SEALS ARE NOT SIGNED. Hashes find damage, but not what was made anew by somebody who could write to the store.")
	}
	para("1. Verify everything\n--------------------")
	para("Take the verifier, daybook, from its release, never from whoever gave you this bundle. KEY.pub is a key file whose fingerprint you compared.")
	if signed {
		script("daybook verify store --partial --key KEY.pub")
		if first := p.firstProof(); first != "" {
			para("A single seal, without the rest of the bundle:")
			script("daybook verify --proof " + first + " --key KEY.pub")
		}
		if len(p.summary.Unproven) > 0 {
			para("Of these seals there is no proof, since the log does not have them yet, or their key was revoked: %s. report.txt says which.", list(p.summary.Unproven))
		}
	} else {
		script("daybook verify store --partial")
	}
	para("2. Files and sums, with sha256sum alone\n---------------------------------------")
	para(`Each manifest has a note beside it, which lists the SHA-256 of the seal's files, and of the manifest last. Every line must end in OK. Files that are not in
this bundle are passed over; a file that no note lists is told. That no seal is missing, and what the log says, only step 1 shows.`)
	script(stepSums)
	if signed {
		para("3. Signatures, with openssl alone\n---------------------------------")
		para("What stands in a note above its blank line is signed. Every line must say: Signature Verified Successfully.")
		script(stepSignatures)
		para("These keys signed, and how many notes each. Every fingerprint must be one that you compared:")
		script(stepKeys)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// firstProof names the first proof that there is; blank if there is none.
func (p *plan) firstProof() string {
	for _, c := range p.chosen {
		if !c.unproven {
			return "'" + c.proof + "'"
		}
	}
	return ""
}

func (p *plan) days() string {
	from, to := "the first", "the newest"
	if p.options.From != 0 {
		from = p.options.From.String()
	}
	if p.options.To != 0 {
		to = p.options.To.String()
	}
	return from + " to " + to + " (UTC)"
}

// maxNamed is how many names of a kind README.txt has.
const maxNamed = 50

func (p *plan) trailNames() string {
	var names []string
	for _, t := range p.trails {
		names = append(names, printable(t))
	}
	return list(names)
}

func (p *plan) formatNames() string {
	if len(p.options.Formats) == 0 {
		return "all"
	}
	return list(p.options.Formats)
}

func (p *plan) gone() string {
	if len(p.summary.Gone) == 0 {
		return "nothing of these days and formats"
	}
	return fmt.Sprintf("%d files whose retention has ended or whose erasure is in the log: %s", len(p.summary.Gone), list(p.summary.Gone))
}

func list(names []string) string {
	if len(names) > maxNamed {
		return strings.Join(names[:maxNamed], ", ") + fmt.Sprintf(" and %d more", len(names)-maxNamed)
	}
	return strings.Join(names, ", ")
}

// printable keeps a name from being more than a name.
func printable(s string) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprintf("%q", s), `\"`, `"`), `"`)
}
