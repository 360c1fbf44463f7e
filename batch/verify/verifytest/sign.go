package verifytest

import (
	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal"
)

func signText(text string, keys ...seal.Key) ([]byte, error) {
	var signers []note.Signer
	for _, k := range keys {
		signers = append(signers, k)
	}
	return note.Sign(&note.Note{Text: text}, signers...)
}
