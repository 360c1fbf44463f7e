package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"daybook/batch/seal"
)

// aliveFile is the file control/alive.json, one line, replaced as a whole. Frozen:
//
//	{"run":12,"time":"2026-11-29T08:00:30Z","seq":17,"hash":"<64 hex digits>"}
//
// run is the record of the start that it is a sign of life of; the line of record seq, the newest then, has that hash.
type aliveFile struct {
	path   string
	before func(op string) error
	sign   sign // guarded by Control.writing
}

type sign struct {
	Run  int64     `json:"run"`
	Time time.Time `json:"time"`
	Seq  int64     `json:"seq"`
	Hash seal.Hash `json:"hash"`
}

// load reads the file, which may be missing, and checks that the journal still is what it was then.
func (a *aliveFile) load(j *journal) error {
	line, err := os.ReadFile(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return hint(fmt.Errorf("control: %w", err), hintAccess)
	}
	if err := json.Unmarshal(line, &a.sign); err != nil {
		return a.damaged(err)
	}
	if again, err := marshal(a.sign); err != nil || !bytes.Equal(line, again) || a.sign.Seq < 1 || a.sign.Run < 1 {
		return a.damaged(errors.New("it is not as Daybook writes it"))
	}
	if a.sign.Seq > j.records() {
		return j.cutShort(a.sign.Seq)
	}
	hash, err := j.hash(a.sign.Seq)
	if err != nil {
		return err
	}
	if hash != a.sign.Hash {
		return j.damaged(a.sign.Seq, errors.New("it is another line than at the last sign of life, alive.json"))
	}
	return nil
}

func (a *aliveFile) damaged(err error) error {
	return hint(fmt.Errorf("%s: line 1: %w: %w", a.path, ErrDamaged, err), "remove it: the time that Daybook was down is then taken to begin with its last start")
}

func (j *journal) cutShort(seq int64) error {
	return hint(fmt.Errorf("%s: line %d: %w: the file ends here, but at the last sign of life, alive.json, it had %d lines", j.path, j.records()+1, ErrDamaged, seq),
		hintBackup+". If the journal is older than alive.json on purpose, remove alive.json: what happened in between is then forgotten")
}

// replace makes s the sign, on stable storage.
func (a *aliveFile) replace(s sign) error {
	line, err := marshal(s)
	if err != nil {
		return fmt.Errorf("control: sign of life: %w", err)
	}
	temp := a.path + ".new"
	write := func() error {
		f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(line)
		if err == nil {
			err = f.Sync()
		}
		return errors.Join(err, f.Close())
	}
	for _, step := range []struct {
		op string
		do func() error
	}{
		{"write alive", write},
		{"rename alive", func() error { return os.Rename(temp, a.path) }},
		{"sync folder", func() error { return syncDir(filepath.Dir(a.path)) }},
	} {
		err := a.before(step.op)
		if err == nil {
			err = step.do()
		}
		if err != nil {
			return fmt.Errorf("control: sign of life: %s: %w", step.op, err)
		}
	}
	a.sign = s
	return nil
}
