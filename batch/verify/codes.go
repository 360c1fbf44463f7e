package verify

import (
	"fmt"
	"strings"
)

// Status says what a finding means for the verdict.
type Status string

const (
	// Altered says: what the store holds is not what was sealed. Exit code 1.
	Altered Status = "altered"
	// Unreadable says: something could not be read or understood, so that nothing can be said of it. Exit code 3.
	Unreadable Status = "unreadable"
	// Incomplete says: nothing contradicts, but the level that was asked for is not reached. Exit code 2.
	Incomplete Status = "incomplete"
	// Absent says: not in this partial copy, and so not checked.
	Absent Status = "absent"
	// Note says: no fault, but an auditor should know.
	Note Status = "note"
)

// Code is a kind of finding. Names are stable: scripts and auditors' working papers refer to them.
type Code struct {
	Name   string
	Status Status
	// Meaning is what was found; Do is what to do about it.
	Meaning, Do string
}

// Codes returns every code that a report can have, in the order of the documents.
func Codes() []Code {
	return []Code{
		{codeListFailed, Unreadable, "The store's listing ended with an error.", "Check the credential's right to list objects and versions, then verify again. Objects that nothing explains were not looked for."},
		{codeNothing, Incomplete, "The store holds no seal, or none of the trail and days that were asked for.", "Check that this is the store, trail and time you mean. If it is, everything was deleted, or nothing was ever sealed."},
		{codeReadFailed, Unreadable, "An object is there but could not be read.", "Check the network, the disk and the credential, then verify again."},
		{codeSchemaUnknown, Unreadable, "An object says that it is of a schema version that this verifier does not know.", "Get a newer release of the verifier. If there is none, the object was not written by Daybook."},
		{codeNotAFile, Altered, "A link, a folder or something else stands where an object should be.", "Daybook puts regular files only. Find out who put it there; take a fresh copy from the original store."},
		{codeUnlisted, Altered, "An object is in the store that no manifest, log or key explains.", "If an export is at work, or was killed, run it to its end and verify again. Otherwise somebody else writes here: do not trust the object."},
		{codeUnsealed, Incomplete, "A data file or a public key was put into the bucket within the hour before, and no seal or log explains it yet: a seal is being made, or somebody else writes here.", "Verify again when the exporter is done. What nothing explains after an hour is an `unlisted-object`."},
		{codeSealedSince, Note, "While the store was verified seals were made of files that were listed before. They were not checked.", "Nothing: the next verification checks them."},
		{codeThrowAway, Note, "A throw-away object of `daybook doctor` is still there.", "`daybook doctor --sweep` removes it, with an administrator's credentials. Nothing refers to it."},
		{codeTemporary, Note, "A file lies in the folder for files that are not whole yet (`.daybook-tmp/`).", "Nothing, if an export is at work. Else it was killed, and the next one removes what it left. Nothing there is sealed."},
		{codeNewerVersion, Altered, "A newer version lies over a sealed object. The sealed version was checked, and is reported apart if it is at fault.", "Find out who wrote it. Readers that name no version get the newer one: remove it, and take the right to write from whoever did it."},
		{codeUnlistedVersion, Altered, "A sealed object has a further version that nothing explains.", "Find out who wrote it; remove it."},
		{codeVersionMissing, Altered, "The version that the manifest names is not there, but another one is.", "The sealed version was deleted. If this is a copy of the store that did not keep version ids, verify a copy in a folder instead."},
		{codeDeleteMarker, Altered, "A delete marker hides an object.", "Remove the marker: the version below it is what was sealed. Find out who deleted it."},
		{codeFileMissing, Altered, "A sealed file is gone, and nothing allows that: its retention has not ended and no erasure is recorded.", "Restore it from a copy; its SHA-256 must be the expected one."},
		{codeFileExpired, Note, "A sealed file is gone, or hidden behind a delete marker that came later, and its retention had ended.", "Nothing: this is how retention ends."},
		{codeFileErased, Note, "A sealed file is gone, and its erasure with the reason is recorded in the log.", "Read the reason in the log."},
		{codeAbsent, Absent, "Not in this partial copy.", "Nothing, if the copy was meant to be without it."},
		{codeFileSize, Altered, "A file does not have the size that it was sealed with.", "The file was changed. Restore it from a copy; its SHA-256 must be the expected one."},
		{codeFileAltered, Altered, "A file's bytes are not those that were sealed.", "The file was changed. Restore it from a copy; its SHA-256 must be the expected one."},
		{codeListedTwice, Altered, "Two manifests claim one file.", "A sealed file belongs to one seal. Treat both seals as suspect."},
		{codeLockWeak, Altered, "An object's lock, as read back, is weaker or ends earlier than its manifest or a later extension says.", "Lengthen the lock. Find out who weakened it, or why the store did not keep it."},
		{codeControlLock, Altered, "A manifest, note, key or part of the log is locked weaker or shorter than the files that it vouches for.", "Lengthen the lock: without these objects the files cannot be checked."},
		{codeKeyGovernance, Note, "A key's file is locked long enough, but in governance mode, while files that it vouches for are locked in compliance mode: the store was raised to that later.", "Keep a copy of the key elsewhere, as always. `daybook key rotate` gives the next seals a key of their own; who may bypass governance can raise the lock."},
		{codeLogLockShort, Note, "The log is locked for less long than files whose locks were lengthened: once its locks end, it can be deleted before they are.", "Make the writer's policy anew, so that it may lock for as long, and seal: `daybook retention extend` tells for how many days (`daybook bucket policy --role writer --max-days`)."},
		{codeHoldMissing, Altered, "A file, manifest or note is under a legal hold by the log, and the store shows none on it.", "If the verifier's credential may not see holds, let it (s3:GetObjectLegalHold). If the hold was released while this ran, verify again. Else somebody lifted it: put it again with `daybook hold put`, and find out who did."},
		{codeLocksUnchecked, Note, "The store keeps no versions or locks: this is a folder, or a copy in one.", "To check locks, versions and delete markers, verify the original store."},
		{codeExpiryRule, Altered, "A lifecycle rule of the store removes files earlier than their retention ends.", "Remove or correct the rule. Find out who made it."},
		{codeExpiryControl, Altered, "A lifecycle rule of the store covers manifests, notes, keys or the log, which must stay.", "Limit the rule to the prefixes of data files."},
		{codeExpiryUnknown, Note, "The store does not tell its lifecycle rules.", "Give the verifier's credential the right to read them, or check them by hand."},

		{codeEvidenceBroken, Altered, "An evidence file cannot be unpacked to its end, or is no sequence of rows.", "The seal was made over something that is no evidence. Ask who runs the exporter."},
		{codeEvidenceRows, Altered, "An evidence file has another number of rows than its manifest says.", "The seal contradicts itself. Ask who runs the exporter."},
		{codeEvidenceRoot, Altered, "The rows of an evidence file do not give the Merkle root of its manifest.", "The seal contradicts itself: proofs of its rows cannot be trusted. Ask who runs the exporter."},

		{codeManifestMissing, Altered, "A seal has its note or its place in the log, but no manifest.", "Restore the manifest from a copy; its SHA-256 is in the note and the log."},
		{codeManifestInvalid, Altered, "A manifest is not one that Daybook writes: its bytes, members, names or sums are wrong, or it is too large.", "Restore the manifest from a copy; its SHA-256 is in the note and the log."},
		{codeNoteMissing, Altered, "A seal that is in the log, or has seals after it, has no note.", "Restore the note from a copy."},
		{codeNoteSignature, Altered, "A note has no good signature of the key that its seal names.", "The note was changed, or signed by somebody else. Restore it from a copy."},
		{codeNoteText, Altered, "A note is signed, but does not say what its manifest says; or it is of another seal, where the manifest is gone.", "One of the two was exchanged. The log says which manifest is the right one."},
		{codeNoteExtra, Altered, "A note has a further signature, of a key that the log does not know, or more lines than Daybook writes.", "Restore the note from a copy; find out who added to it."},
		{codeSealIncomplete, Incomplete, "The trail's newest manifest has no note yet: a seal is being made, or was interrupted.", "Run the exporter again: it completes the seal. Then verify again."},
		{codeSealUnvouched, Incomplete, "A manifest is in this partial copy, but neither a note that a key of the store signed nor its leaf in the log: anybody can have made it. Its files were compared with it, and prove nothing.", "Take seals/ and keys/, or the whole of log/, into the copy. If the original store lacks them too, do not trust the seal."},
		{codeSealMissing, Altered, "Seals are missing: the log or later seals tell of them.", "Restore them from a copy: manifest, note and files."},
		{codeSealNumber, Altered, "A manifest lies under another number than its own.", "Somebody moved seals. Restore the manifest from a copy."},
		{codeWrongTrail, Altered, "A manifest lies under another trail than its own.", "Somebody moved seals between trails. Restore the manifest from a copy."},
		{codeChainBroken, Altered, "A manifest does not name the SHA-256 of the manifest before it.", "One of the two was exchanged. The log says which is the right one."},
		{codeAddendumOrder, Altered, "A day's own seal does not come before its addenda, comes twice, or an addendum has the wrong number.", "The trail's history is contradictory. Ask who runs the exporter."},
		{codeCountsCarried, Altered, "A seal carries over another number of events than the seal before left.", "Events were lost or made between two seals. Ask who runs the exporter."},
		{codeSealedTooEarly, Altered, "A seal was made before the newest of its events happened.", "The seal's time or its events' are wrong. Ask who runs the exporter."},
		{codeFuture, Altered, "A seal or a leaf of the log is of the future.", "Check the clock here; if it is right, the exporter's was wrong or the seal was forged."},
		{codeTimeOrder, Altered, "The times of seals and of the log's leaves do not go forward.", "The exporter's clock was set back, or the seal was back-dated."},
		{codeGap, Note, "A manifest declares a time for which events may be missing, with the reason.", "Read the reason."},
		{codeDayUnsealed, Note, "Between the first and the last sealed day of a trail there are days, or ends of days, without a seal.", "An export of chosen days leaves such holes; a standing trail does not: ask why."},
		{codeLookAlike, Note, "Two trails have names that look alike.", "Make sure which of them you mean."},
		{codeUnsigned, Note, "The seals are not signed: whoever can write to the store can make others.", "Nothing but the store's locks protects them. Sign seals."},
		{codeUnsignedSeal, Altered, "A seal is not signed, in a store whose seals are.", "Do not trust the seal. Ask who runs the exporter."},
		{codeUnsignedAsked, Incomplete, "A key was given, but the seals are not signed.", "No key can vouch for unsigned seals."},

		{codeKeyFile, Altered, "A file under keys/ is not a public key, or lies under another key's name.", "Restore it from a copy."},
		{codeKeyMissing, Altered, "The file of a public key that the store needs is gone.", "Restore it from a copy, or from the key's owner."},
		{codeKeyUnused, Note, "A public key is in this partial copy with which nothing here was signed; the log, which would tell whether it is the store's, is not all here.", "Nothing, if seals of that key were left out. That it is here says nothing for it."},
		{codeKeyUnknown, Altered, "A seal is signed with a key that the log does not know.", "Do not trust the seal."},
		{codeKeyRange, Altered, "A seal is signed with a key that was not valid at its place in the log.", "A retired key was used, or a later one: do not trust the seal."},
		{codeKeyRevoked, Altered, "A seal is signed with a key that was revoked from this place in the log on.", "Whoever stole the key may have made the seal: do not trust it without an anchor that is older than the theft."},
		{codeKeyNotYours, Altered, "None of the keys that you gave is one of this store's.", "Compare fingerprints over the telephone. If your key is the right one, the store was made by somebody else."},
		{codeKeyNotGiven, Incomplete, "A seal is signed with a key that you did not give, and there is no log here that tells how keys follow each other.", "Take the log into the copy, or give that key, if its owner has told you its fingerprint. Otherwise do not trust the seal."},
		{codeKeyYoursRevoked, Incomplete, "The keys that you gave are of this store, but they, or keys between them and the present one, were revoked.", "Get the store's present key from its owner, not from the store."},

		{codeLogMissing, Altered, "The store has signed seals but no log.", "Restore log/ from a copy. If the very first export is at work, or was interrupted, run it to its end."},
		{codeCheckpoint, Altered, "A checkpoint is not one that Daybook writes, or is not signed by the key that was in force.", "Restore it from a copy."},
		{codeForked, Altered, "Two checkpoints contradict each other: the log was rewritten, or shows two histories.", "Keep both: they prove it. Compare with the anchors to learn which history is the first."},
		{codeLogRoot, Altered, "The log's entries do not give the root of its newest checkpoint.", "Entries were changed, added or removed. Restore log/ from a copy."},
		{codeLogAltered, Altered, "A tile or an entry bundle of the log does not have the bytes that it must.", "Restore it from a copy."},
		{codeLogObjectMissing, Altered, "A checkpoint, a step (`log/next/`), a tile or an entry bundle of the log is gone.", "Restore it from a copy."},
		{codeLogUnfinished, Incomplete, "The log tells of a newer checkpoint than the store has: it is being published, or was interrupted, or was removed.", "Run the exporter again: it publishes what is missing. If it has nothing to publish, the checkpoint was removed: compare with the anchors."},
		{codeLeafInvalid, Altered, "A leaf of the log is not one that Daybook writes, or is not signed as it must be.", "The log was forged by a holder of its key, or written by a newer release."},
		{codeLeafReference, Altered, "A leaf of the log names a seal, file or period that is not what it says.", "Read the leaf: a review, erasure, hold or extension was moved to something else."},
		{codeNotInLog, Altered, "A seal is not in the log, though later ones of its trail are.", "Do not trust the seal."},
		{codeNotLogged, Incomplete, "The trail's newest seals are not in the log yet.", "Run the exporter again: it publishes what is missing. Then verify again."},
		{codeLogMismatch, Altered, "The log has another manifest, day, addendum or key for a seal than the store.", "The seal was exchanged after it was logged. Restore manifest and note from a copy."},
		{codeLogTwice, Altered, "The log tells of one seal twice, or of a trail's seals out of order.", "The log was forged by a holder of its key."},
		{codePinContradicted, Altered, "The log contradicts a checkpoint that you hold: history was rewritten.", "Keep your checkpoint: it proves it."},
		{codeLogCut, Altered, "The log is shorter than a checkpoint that you hold, or than an anchor in the store: its end was cut off.", "Keep your checkpoint: it proves it. Restore the store from a copy."},
		{codePinUnchecked, Incomplete, "A checkpoint that you hold could not be compared: of the log too much is not in this partial copy, or could not be read.", "Take log/, the whole of it, into the copy."},
		{codePinOther, Altered, "A checkpoint that you hold is of another log.", "Check that this is the store you mean; if it is, it was made anew."},

		{codeCosigInvalid, Altered, "A witness's cosignature does not fit its checkpoint.", "It was forged, or moved from another checkpoint. Ask the witness for its own record."},
		{codeCosigUnknown, Note, "A cosignature is of a witness that your policy does not name, or you gave no policy.", "Add the witness's key to the policy if you trust it."},
		{codeTimestampInvalid, Altered, "A time stamp does not fit its checkpoint.", "It was forged, or moved from another checkpoint."},
		{codeTimestampUntrusted, Note, "A time stamp is of an authority that your CA certificates do not vouch for, or you gave none.", "Give the authority's CA certificate with --tsa-ca if you trust it."},
		{codeAnchorTime, Altered, "An anchor is older than a seal that it covers, or of the future.", "A seal was back- or forward-dated, or a clock is wrong."},
		{codeAnchorStray, Altered, "An anchor is of a checkpoint that the store does not have.", "The checkpoint was removed: a sign of a log that was cut."},
		{codeHeadUnanchored, Note, "No anchor that was checked covers the newest checkpoint: whoever holds the key could cut off the end.", "Give --policy, --tsa-ca or --checkpoint; or compare the head that is printed here with one of an independent place."},
		{codeQuorumMissing, Incomplete, "The newest checkpoint does not have the cosignatures that your policy asks for.", "Wait until the anchors were reached and verify again; past a day, ask why they are not."},
		{codeTimestampMissing, Incomplete, "The newest checkpoint has no time stamp that your CA certificates vouch for.", "Wait until the anchors were reached and verify again; past a day, ask why they are not."},
		{codePinBehind, Note, "The checkpoint that you hold is older than the log's newest: what came after it is not covered by it.", "Keep the head that is printed here for next time."},

		{codeRowInvalid, Altered, "A row of the evidence is not one that Daybook writes.", "The seal was made over something that is no evidence. Ask who runs the exporter."},
		{codeRowOrder, Altered, "Rows of the evidence are not in order, or one is there twice.", "The seal was not made by Daybook as it is. Ask who runs the exporter."},
		{codeRowTime, Altered, "A row's time does not lie within the seal's range, and is not flagged as suspect.", "The event was filed under a wrong day. Ask who runs the exporter."},
		{codeTimesUntrue, Altered, "The first or last event time of a manifest is not that of the rows.", "The seal contradicts itself. Ask who runs the exporter."},
		{codeSuspectCount, Altered, "The number of events of suspect time is not that of the manifest.", "The seal contradicts itself. Ask who runs the exporter."},
		{codeFormatMismatch, Altered, "A rendering's row is not that of the evidence.", "The evidence is what counts: render the file anew from it, and ask who runs the exporter."},
		{codeFormatMalformed, Altered, "A rendering cannot be read to its end.", "The evidence is what counts: render the file anew from it, and ask who runs the exporter."},
		{codeFormatRows, Altered, "A rendering has more or fewer rows than the evidence.", "The evidence is what counts: render the file anew from it, and ask who runs the exporter."},
		{codeNotCompared, Absent, "A rendering was not compared, since its evidence is absent or at fault.", "Get the evidence, and verify again."},
	}
}

// The codes. Stable.
const (
	codeListFailed      = "list-failed"
	codeNothing         = "nothing-sealed"
	codeReadFailed      = "read-failed"
	codeSchemaUnknown   = "schema-unknown"
	codeNotAFile        = "not-a-file"
	codeUnlisted        = "unlisted-object"
	codeUnsealed        = "unsealed-object"
	codeSealedSince     = "sealed-since"
	codeThrowAway       = "throw-away"
	codeTemporary       = "temporary-file"
	codeNewerVersion    = "newer-version"
	codeUnlistedVersion = "unlisted-version"
	codeVersionMissing  = "version-missing"
	codeDeleteMarker    = "delete-marker"
	codeFileMissing     = "file-missing"
	codeFileExpired     = "file-expired"
	codeFileErased      = "file-erased"
	codeAbsent          = "absent"
	codeFileSize        = "file-size"
	codeFileAltered     = "file-altered"
	codeListedTwice     = "file-listed-twice"
	codeLockWeak        = "lock-weak"
	codeControlLock     = "control-lock-weak"
	codeKeyGovernance   = "key-governance-lock"
	codeLogLockShort    = "log-lock-short"
	codeHoldMissing     = "hold-missing"
	codeLocksUnchecked  = "locks-not-checked"
	codeExpiryRule      = "expiry-rule"
	codeExpiryControl   = "expiry-control"
	codeExpiryUnknown   = "expiry-unknown"

	codeEvidenceBroken = "evidence-broken"
	codeEvidenceRows   = "evidence-rows"
	codeEvidenceRoot   = "evidence-root"

	codeManifestMissing = "manifest-missing"
	codeManifestInvalid = "manifest-invalid"
	codeNoteMissing     = "note-missing"
	codeNoteSignature   = "note-signature"
	codeNoteText        = "note-text"
	codeNoteExtra       = "note-extra-signature"
	codeSealIncomplete  = "seal-incomplete"
	codeSealUnvouched   = "seal-unvouched"
	codeSealMissing     = "seal-missing"
	codeSealNumber      = "seal-number"
	codeWrongTrail      = "wrong-trail"
	codeChainBroken     = "chain-broken"
	codeAddendumOrder   = "addendum-order"
	codeCountsCarried   = "counts-carried"
	codeSealedTooEarly  = "sealed-too-early"
	codeFuture          = "time-in-future"
	codeTimeOrder       = "time-order"
	codeGap             = "gap-declared"
	codeDayUnsealed     = "day-unsealed"
	codeLookAlike       = "trail-look-alike"
	codeUnsigned        = "unsigned"
	codeUnsignedSeal    = "unsigned-seal"
	codeUnsignedAsked   = "unsigned-key-given"

	codeKeyFile         = "key-file-invalid"
	codeKeyMissing      = "key-file-missing"
	codeKeyUnused       = "key-unused"
	codeKeyUnknown      = "key-unknown"
	codeKeyRange        = "key-out-of-range"
	codeKeyRevoked      = "key-revoked"
	codeKeyNotYours     = "key-not-yours"
	codeKeyNotGiven     = "key-not-given"
	codeKeyYoursRevoked = "key-yours-revoked"

	codeLogMissing       = "log-missing"
	codeCheckpoint       = "checkpoint-invalid"
	codeForked           = "log-forked"
	codeLogRoot          = "log-root"
	codeLogAltered       = "log-altered"
	codeLogObjectMissing = "log-object-missing"
	codeLogUnfinished    = "log-unfinished"
	codeLeafInvalid      = "leaf-invalid"
	codeLeafReference    = "leaf-reference"
	codeNotInLog         = "seal-not-in-log"
	codeNotLogged        = "seal-not-logged"
	codeLogMismatch      = "seal-log-mismatch"
	codeLogTwice         = "log-seal-order"
	codePinContradicted  = "checkpoint-contradicted"
	codeLogCut           = "log-cut"
	codePinOther         = "checkpoint-other-log"
	codePinUnchecked     = "checkpoint-unchecked"

	codeCosigInvalid       = "cosignature-invalid"
	codeCosigUnknown       = "cosignature-unknown"
	codeTimestampInvalid   = "timestamp-invalid"
	codeTimestampUntrusted = "timestamp-untrusted"
	codeAnchorTime         = "anchor-time"
	codeAnchorStray        = "anchor-stray"
	codeHeadUnanchored     = "head-unanchored"
	codeQuorumMissing      = "quorum-missing"
	codeTimestampMissing   = "timestamp-missing"
	codePinBehind          = "checkpoint-behind"

	codeRowInvalid      = "row-invalid"
	codeRowOrder        = "row-order"
	codeRowTime         = "row-time"
	codeTimesUntrue     = "times-untrue"
	codeSuspectCount    = "suspect-count"
	codeFormatMismatch  = "format-mismatch"
	codeFormatMalformed = "format-malformed"
	codeFormatRows      = "format-rows"
	codeNotCompared     = "format-not-compared"
)

// Markdown returns the table of codes as docs/FINDINGS.md has it.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Findings of `daybook verify`\n\nMade from the table in `batch/verify`; do not edit.\n\n")
	b.WriteString("`altered` gives exit code 1, `unreadable` 3, `incomplete` 2; `absent` and `note` give none.\n\n")
	b.WriteString("| code | status | what it means | what to do |\n|---|---|---|---|\n")
	for _, c := range Codes() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.Name, c.Status, c.Meaning, c.Do)
	}
	return b.String()
}
