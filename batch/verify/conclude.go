package verify

// fileCodes and chainCodes say which level a finding keeps from being reached.
var fileCodes = []string{
	codeListFailed, codeReadFailed, codeNotAFile, codeUnlisted, codeUnsealed, codeNewerVersion, codeUnlistedVersion, codeVersionMissing, codeDeleteMarker, codeFileMissing,
	codeFileSize, codeFileAltered, codeListedTwice, codeLockWeak, codeExpiryRule, codeEvidenceBroken, codeEvidenceRows, codeEvidenceRoot, codeManifestMissing,
	codeManifestInvalid, codeSchemaUnknown, codeSealMissing, codeRowInvalid, codeRowOrder, codeRowTime, codeTimesUntrue, codeSuspectCount, codeFormatMismatch,
	codeFormatMalformed, codeFormatRows,
}

var chainCodes = []string{
	codeListFailed, codeReadFailed, codeNotAFile, codeSchemaUnknown, codeManifestMissing, codeManifestInvalid, codeNoteMissing, codeNoteSignature, codeNoteText, codeNoteExtra,
	codeSealMissing, codeSealNumber, codeWrongTrail, codeChainBroken, codeAddendumOrder, codeCountsCarried, codeSealedTooEarly, codeFuture, codeTimeOrder,
	codeUnsignedSeal, codeKeyFile, codeKeyMissing, codeKeyUnknown, codeKeyRange, codeKeyRevoked, codeKeyNotYours, codeLogMissing, codeCheckpoint, codeForked,
	codeLogRoot, codeLogAltered, codeLogObjectMissing, codeLeafInvalid, codeLeafReference, codeNotInLog, codeLogMismatch, codeLogTwice, codePinContradicted,
	codeLogCut, codePinOther, codeCosigInvalid, codeTimestampInvalid, codeAnchorTime, codeAnchorStray, codeControlLock, codeExpiryControl,
}

// conclude settles the levels.
func (v *verifier) conclude() {
	r, levels := v.report, &v.report.Levels
	if v.signed && !v.log.present && !v.inv.hasLog() {
		f := Finding{Code: codeLogMissing, Key: "log/", Expected: "the log that signed seals have", Found: "nothing"}
		if v.o.Partial {
			f.Code, f.Expected = codeAbsent, ""
		}
		v.add(f)
	}
	if v.unsigned && v.signed && !r.has(codeUnsignedSeal) { // no log has told of it
		v.add(Finding{Code: codeUnsignedSeal, Expected: "signed seals", Found: "unsigned ones among them"})
	}
	if v.unsigned {
		v.add(Finding{Code: codeUnsigned, Found: "seals without signatures"})
	}
	r.Counts.Objects = int64(len(v.inv.objects))
	r.Counts.Files, r.Counts.Bytes, r.Counts.Rows, r.Counts.Compared, r.Counts.Skipped = v.files.Load(), v.bytes.Load(), v.rows.Load(), v.cells.Load(), v.skips
	levels.Files = FilesLevel{Intact: !r.has(fileCodes...) && !v.vouchless, Deep: v.o.Deep, Locks: v.inv.versions && v.locked && !r.has(codeLockWeak, codeControlLock)}
	levels.Chain.Intact = !r.has(chainCodes...) && !v.vouchless && r.Counts.Seals > 0
	levels.Chain.Signed = v.signed && !v.unsigned
	levels.Chain.Logged = v.log.proven && !r.has(codeNotLogged, codeNotInLog, codeLogUnfinished)
	if r.Counts.Seals == 0 {
		r.elsewhere = v.inv.elsewhere
		v.add(Finding{Code: codeNothing, Expected: "seals", Found: "none"})
		levels.Files.Intact = false
	} else if narrowed := v.o.Trail != "" || v.o.From != 0 || v.o.To != 0; narrowed && !v.asked {
		v.add(Finding{Code: codeNothing, Trail: v.o.Trail, Expected: "seals of what was asked for", Found: "none"})
		levels.Files.Intact = false
	}
	r.finish()
}
