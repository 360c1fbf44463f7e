package verify

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"daybook/batch/anchor"
	logs "daybook/batch/tlog"
)

// maxReceipt is how large a receipt may be, in bytes.
const maxReceipt = 64 << 10

// checkAnchors checks every receipt, and whether the newest checkpoint has those that were asked for.
func (v *verifier) checkAnchors(ctx context.Context) {
	cosigs := map[int64][]string{}
	stamped := int64(0) // the newest checkpoint with a trusted time stamp
	head := &v.report.Levels.Head
	for _, key := range v.inv.anchors {
		if ctx.Err() != nil {
			return
		}
		size, _, ext, _ := logs.ParseAnchorKey(key) // the inventory has taken it for one
		at := v.locate(key, Finding{})
		if !at.there {
			continue
		}
		checkpoint, ok := v.log.anchored[size]
		if !ok {
			v.strayAnchor(key, size)
			continue
		}
		data, err := v.read(ctx, at, maxReceipt)
		if err != nil {
			code := codeTimestampInvalid
			if ext == logs.CosignatureExt {
				code = codeCosigInvalid
			}
			v.fault(err, Finding{Key: key, Expected: "a receipt"}, code, code)
			continue
		}
		if ext == logs.CosignatureExt {
			for _, line := range v.cosignatures(key, size, data, checkpoint) {
				if !slices.Contains(cosigs[size], line) { // copies under other names must not become more than a note can bear
					cosigs[size] = append(cosigs[size], line)
				}
			}
		} else if v.timestamp(key, size, data, checkpoint) {
			stamped = max(stamped, size)
		}
	}
	quorum := v.quorum(cosigs)
	pinned := int64(0)
	for _, a := range head.Anchors {
		if a.Kind == "checkpoint" {
			pinned = max(pinned, a.Size)
		}
	}
	size := v.log.head.Size
	if size == 0 || v.log.signed == nil {
		size = 1 // there is no head to be anchored
	}
	if v.policy != nil && quorum < size {
		v.add(Finding{Code: codeQuorumMissing, Key: logs.CheckpointKey(v.log.head.Size), Expected: "the cosignatures that your policy asks for", Found: upTo(quorum)})
	}
	if v.o.TimestampRoots != nil && stamped < size {
		v.add(Finding{Code: codeTimestampMissing, Key: logs.CheckpointKey(v.log.head.Size), Expected: "a time stamp that your certificates vouch for", Found: upTo(stamped)})
	}
	cosigned := quorum
	if len(cosigs[quorum]) == 0 {
		cosigned = 0 // a policy that asks for nothing is met by anything, and vouches for nothing
	}
	head.Anchored = v.log.proven && max(cosigned, stamped, pinned) >= size
	if v.log.present && !head.Anchored {
		v.add(Finding{Code: codeHeadUnanchored, Key: logs.CheckpointKey(size), Expected: "an anchor that was checked", Found: upTo(max(cosigned, stamped, pinned))})
	}
	slices.SortFunc(head.Anchors, func(a, b Anchor) int { return int(min(max(b.Size-a.Size, -1), 1)) })
	head.Anchors = head.Anchors[:min(len(head.Anchors), maxFindings)]
}

func upTo(size int64) string {
	if size == 0 {
		return "none"
	}
	return fmt.Sprintf("up to %d leaves", size)
}

// strayAnchor reports a receipt without a checkpoint.
func (v *verifier) strayAnchor(key string, size int64) {
	_, there := slices.BinarySearch(v.inv.checkpoints, size)
	switch {
	case there: // the checkpoint is at fault, which is told
	case v.o.Partial:
		v.add(Finding{Code: codeAbsent, Key: logs.CheckpointKey(size)})
	case size > v.log.head.Size:
		v.add(Finding{Code: codeLogCut, Key: key, Expected: fmt.Sprintf("%d leaves, which an anchor tells of", size), Found: fmt.Sprintf("%d", v.log.head.Size)})
	default:
		v.add(Finding{Code: codeAnchorStray, Key: key, Expected: fmt.Sprintf("the checkpoint of %d leaves", size), Found: "nothing"})
	}
}

// cosignatures checks the lines of a cosignature file, each on its own, and returns those that fit.
func (v *verifier) cosignatures(key string, size int64, data, checkpoint []byte) []string {
	about := Finding{Key: key, Expected: fmt.Sprintf("cosignatures of the checkpoint of %d leaves", size)}
	lines, err := signatures(data)
	if err != nil {
		about.Code, about.Found = codeCosigInvalid, err.Error()
		v.add(about)
		return nil
	}
	var good []string
	for _, line := range lines {
		by, at, err := v.cosignature(line, checkpoint)
		var unknown *note.UnknownVerifierError
		var unverified *note.UnverifiedNoteError
		switch {
		case err == nil:
			good = append(good, line)
			v.report.Levels.Head.Anchors = append(v.report.Levels.Head.Anchors, Anchor{Kind: "witness", By: by, At: at, Size: size, Checked: true})
			v.anchorTime(key, size, at)
		case errors.As(err, &unknown) || errors.As(err, &unverified):
			about.Code, about.Found = codeCosigUnknown, "a cosignature by "+by
			v.claimed(Anchor{Kind: "witness", By: cut(strings.Clone(by)), At: at, Size: size})
			v.add(about)
		default:
			about.Code, about.Found = codeCosigInvalid, err.Error()
			v.add(about)
		}
	}
	return good
}

// claimed lists an anchor that nobody vouches for: anybody can put any number of them.
func (v *verifier) claimed(a Anchor) {
	if head := &v.report.Levels.Head; len(head.Anchors) < maxFindings {
		head.Anchors = append(head.Anchors, a)
	}
}

// cosignature checks one signature line under a checkpoint.
func (v *verifier) cosignature(line string, checkpoint []byte) (by string, at time.Time, err error) {
	text, _, _ := strings.Cut(string(checkpoint), "\n\n")
	name, encoded, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, "— "), "\n"), " ")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw) < 4 {
		return name, at, errors.New("not a signature line")
	}
	if seconds, err := torchwood.CosignatureTimestamp(note.Signature{Name: name, Base64: encoded}); err == nil {
		at = time.Unix(seconds, 0).UTC()
	}
	known := note.VerifierList()
	if v.policy != nil {
		known = v.policy
	}
	_, err = note.Open([]byte(text+"\n\n"+line), known)
	return name, at, err
}

// quorum returns the size of the newest checkpoint that has the cosignatures that the policy asks for; 0 if none has.
func (v *verifier) quorum(cosigs map[int64][]string) int64 {
	if v.policy == nil {
		return 0
	}
	for _, size := range slices.Backward(v.inv.checkpoints) {
		checkpoint, ok := v.log.anchored[size]
		if !ok {
			continue
		}
		signed := string(checkpoint) + strings.Join(cosigs[size], "")
		if _, _, err := torchwood.VerifyCheckpoint([]byte(signed), v.policy); err == nil {
			return size
		}
	}
	return 0
}

// timestamp checks a time stamp, and reports whether it is one that counts.
func (v *verifier) timestamp(key string, size int64, data, checkpoint []byte) bool {
	about := Finding{Key: key, Expected: fmt.Sprintf("a time stamp of the checkpoint of %d leaves", size)}
	info, err := anchor.CheckTimestamp(data, checkpoint, v.o.TimestampRoots)
	if err != nil && !errors.Is(err, anchor.ErrUntrusted) {
		about.Code, about.Found = codeTimestampInvalid, err.Error()
		v.add(about)
		return false
	}
	a := Anchor{Kind: "timestamp", By: info.Authority, At: info.Time, Size: size, Checked: info.Trusted}
	if a.Checked {
		v.report.Levels.Head.Anchors = append(v.report.Levels.Head.Anchors, a)
	} else {
		v.claimed(a)
	}
	v.anchorTime(key, size, info.Time)
	if !info.Trusted {
		about.Code, about.Found = codeTimestampUntrusted, "one by "+info.Authority
		v.add(about)
	}
	return info.Trusted
}

// anchorTime checks that an anchor is not older than what it covers.
func (v *verifier) anchorTime(key string, size int64, at time.Time) {
	newest := time.Unix(v.log.newest[size-1], 0)
	f := Finding{Code: codeAnchorTime, Key: key, Found: stamp(at)}
	switch {
	case at.Before(newest.Add(-clockSkew)):
		f.Expected = "a time after its newest seal's, " + stamp(newest)
	case at.After(v.now.Add(clockSkew)):
		f.Expected = "a time before " + stamp(v.now)
	default:
		return
	}
	v.add(f)
}
