package sinktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"daybook/sink"
)

// What a scripted fault may answer: the failures of a real store that has used up its retries.
var (
	ErrUnavailable = errors.New("503 Slow Down")
	ErrForbidden   = errors.New("403 Access Denied")
	ErrTimeout     = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
)

// Fault is how an operation fails.
type Fault struct {
	Err error
	// Persisted says that the operation took effect, and only its answer was lost.
	Persisted bool
}

// fault is a Fault and what it strikes: the step-th operation, or, where step is 0, every one with the name and a key that
// contains part.
type fault struct {
	Fault
	step       int
	name, part string
}

func (f *fault) strikes(step int, name, key string) bool {
	if f.step != 0 {
		return f.step == step
	}
	return (f.name == "" || f.name == name) && strings.Contains(key, f.part)
}

// FailStep makes the n-th operation of the store fail, counted from 1 since the store was made or its log was taken.
func (m *Memory) FailStep(n int, f Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, fault{Fault: f, step: n})
}

// FailKey makes every operation fail whose name is op (blank: any) and whose key contains part, until Heal.
func (m *Memory) FailKey(op, part string, f Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, fault{Fault: f, name: op, part: part})
}

// Heal takes all faults back.
func (m *Memory) Heal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = nil
}

// TakeLog returns the operations since the last call, in order, and starts the count of steps again.
func (m *Memory) TakeLog() []Op {
	m.mu.Lock()
	defer m.mu.Unlock()
	log := m.log
	m.log = nil
	return log
}

// Keys returns all keys that have a version or a delete marker, in order.
func (m *Memory) Keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.objects))
}

// History returns the versions and delete markers of key, oldest first.
func (m *Memory) History(key string) []Version {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Version
	for _, v := range m.objects[key] {
		all = append(all, Version{
			ID:     v.id,
			Marker: v.marker,
			Size:   int64(len(v.body)),
			SHA256: sha256.Sum256(v.body),
			Lock:   v.lock,
			Held:   v.held,
		})
	}
	return all
}

// Bytes returns what the newest version of key holds, and nil where there is none or a delete marker hides it.
func (m *Memory) Bytes(key string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.find(key, "")
	if err != nil {
		return nil
	}
	return slices.Clone(v.body)
}

// Hide sets a delete marker in front of key, as a delete without a version does, locked or not.
func (m *Memory) Hide(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(key, version{marker: true})
}

// Overwrite adds a version over key, or the first of a key that was not there, as a PUT without a condition does, locked or not.
func (m *Memory) Overwrite(key string, body []byte, lock sink.Lock) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(key, version{body: bytes.Clone(body), lock: lock})
}

// DeleteVersion deletes one version of key. A lock that holds is ErrLocked, and so is a legal hold: not even an administrator gets past Compliance.
func (m *Memory) DeleteVersion(key, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.objects[key], func(v version) bool { return v.id == id })
	if i < 0 {
		return fmt.Errorf("%s: version %s: %w", key, id, sink.ErrNotExist)
	}
	if lock := m.objects[key][i].lock; lock.Mode != sink.None && m.opts.Now().Before(lock.RetainUntil) {
		return fmt.Errorf("%s: version %s: %w until %s", key, id, ErrLocked, lock.RetainUntil)
	}
	if m.objects[key][i].held {
		return fmt.Errorf("%s: version %s: %w by a legal hold", key, id, ErrLocked)
	}
	m.objects[key] = slices.Delete(m.objects[key], i, i+1)
	if len(m.objects[key]) == 0 {
		delete(m.objects, key)
	}
	return nil
}

// Erase removes versions and delete markers of key behind the store's back, locked or not: those with the ids, or all. It is what root on the server's own
// disks can do.
func (m *Memory) Erase(key string, ids ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.objects[key])
	left := slices.DeleteFunc(slices.Clone(m.objects[key]), func(v version) bool { return len(ids) == 0 || slices.Contains(ids, v.id) })
	if before == len(left) {
		m.t.Fatalf("erase %s %q: nothing is there", key, ids)
	}
	if m.objects[key] = left; len(left) == 0 {
		delete(m.objects, key)
	}
}

// Replace changes what the newest version of key holds behind the store's back, and leaves its id and its lock as they are.
func (m *Memory) Replace(key string, body []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.find(key, "")
	if err != nil {
		m.t.Fatalf("replace %s: %v", key, err)
	}
	v.body = bytes.Clone(body)
}

// ErrLocked says that a version is under retention.
var ErrLocked = errors.New("locked")

// FlipBit changes one bit of the newest version of key behind the store's back, lock or not: a disk that rots, or an attacker on it.
func (m *Memory) FlipBit(key string, bit int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.find(key, "")
	if err != nil || bit/8 >= len(v.body) {
		m.t.Fatalf("flip bit %d of %s: %v", bit, key, err)
	}
	v.body = bytes.Clone(v.body)
	v.body[bit/8] ^= 1 << (bit % 8)
}

// SetModified changes when the newest version of a key was put.
func (m *Memory) SetModified(key string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.find(key, "")
	if err != nil {
		m.t.Fatalf("set modified of %s: %v", key, err)
	}
	v.modified = at
}

// SetHeld puts a legal hold on the newest version of key behind the store's back, or lifts it.
func (m *Memory) SetHeld(key string, on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.find(key, "")
	if err != nil {
		m.t.Fatalf("set hold of %s: %v", key, err)
	}
	v.held = on
}

// SetLock changes the lock of the newest version of key behind the store's back, as a user with the bypass right does to Governance.
func (m *Memory) SetLock(key string, lock sink.Lock) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.find(key, "")
	if err != nil {
		m.t.Fatalf("set lock of %s: %v", key, err)
	}
	v.lock = lock
}
