package control

import (
	"bytes"
	"encoding/json"
	"time"

	"daybook/batch/seal"
	"daybook/event"
)

// Actions, as the journal and the events name them. Frozen.
const (
	ActionEnable         = "daybook.trail.enable"
	ActionDisableRequest = "daybook.trail.disable.request"
	ActionDisableApprove = "daybook.trail.disable.approve"
	ActionDisableLapse   = "daybook.trail.disable.lapse"
	ActionKeep           = "daybook.trail.keep"
	ActionOff            = "daybook.trail.off"
	ActionOn             = "daybook.trail.on"
	ActionTokenCreate    = "daybook.token.create"
	ActionTokenRevoke    = "daybook.token.revoke"
	ActionAdminCreate    = "daybook.admin.create"
	ActionAdminRevoke    = "daybook.admin.revoke"
	ActionConfigChange   = "daybook.config.change"
	ActionStoreChange    = "daybook.store.change"
	ActionStoreAccept    = "daybook.store.accept"
	ActionServiceStart   = "daybook.service.start"
	ActionServiceStop    = "daybook.service.stop"
	ActionGap            = "daybook.gap"
	ActionReadList       = "daybook.read.ls"
	ActionReadGet        = "daybook.read.get"
	ActionReadLink       = "daybook.read.link"
	ActionReadThaw       = "daybook.read.thaw"
	ActionHoldPut        = "daybook.hold.put"
	ActionHoldRelease    = "daybook.hold.release"
	ActionExtend         = "daybook.retention.extend"
	ActionDeclare        = "daybook.trail.declare"
)

// record is a line of the journal. Frozen, additions only at the end and only such as are left out where they are blank:
//
//	{"seq":7,"previous":"<64 hex digits>","time":"2026-11-29T08:00:00Z","action":"daybook.token.create","by":{"name":"alice","role":"admin","org":"*","via":"token"},"org":"acme", …}
//
// It ends in a line feed. Members stand in this order and are left out where they are blank; a line that is not, to the byte, what its record is written as is damaged.
//
//	seq        counts from 1, without a hole
//	previous   the SHA-256 of the line before, its line feed included; none for the first
//	time       when it was recorded
//	org        whose matter it is; * is that of the whole installation
//	effective  when it took effect (off, on, lapse), or will (approve)
//	until      when the trail comes back by itself
//	spec, since, backfill              of a trail that is enabled; spec alone of one that the configuration declares otherwise than before
//	id, name, role, source, sha256, expires   of an admin or a token
//	build, config, was, diff           of the process and its configuration; was is the digest before, diff what concerns every org; in records of before there were diffs all of it
//	gap        when nothing was taken in; of a start, the time before it
//	read       what is read of a trail's sealed files
//	requested_by, approved_by          names, of what became of a disabling; of a hold or an extension, who is said to want it
//	kept       which files are held, released or locked for longer, and which leaf of the store's log says so
//	diffs      what of a configuration's diff is an org's alone, by org
type record struct {
	Seq         int64      `json:"seq"`
	Previous    seal.Hash  `json:"previous"`
	Time        time.Time  `json:"time"`
	Action      string     `json:"action"`
	By          Actor      `json:"by"`
	Org         string     `json:"org"`
	Trail       string     `json:"trail,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	Effective   time.Time  `json:"effective,omitzero"`
	Until       time.Time  `json:"until,omitzero"`
	Spec        *TrailSpec `json:"spec,omitempty"`
	Since       *seal.Date `json:"since,omitempty"`
	Backfill    bool       `json:"backfill,omitempty"`
	ID          string     `json:"id,omitempty"`
	Name        string     `json:"name,omitempty"`
	Role        string     `json:"role,omitempty"`
	Source      string     `json:"source,omitempty"`
	SHA256      seal.Hash  `json:"sha256,omitzero"`
	Expires     time.Time  `json:"expires,omitzero"`
	Build       string     `json:"build,omitempty"`
	Config      seal.Hash  `json:"config,omitzero"`
	Was         seal.Hash  `json:"was,omitzero"`
	Diff        []string   `json:"diff,omitempty"`
	Gap         *seal.Gap  `json:"gap,omitempty"`
	RequestedBy string     `json:"requested_by,omitempty"`
	ApprovedBy  string     `json:"approved_by,omitempty"`
	Read        *Reading   `json:"read,omitempty"`
	Kept        *Kept      `json:"kept,omitempty"`
	Diffs       Diff       `json:"diffs,omitempty"`
}

// marshal returns v as a line.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// timeText returns t as an event tells it; "" for none.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return string(event.AppendTime(nil, t))
}
