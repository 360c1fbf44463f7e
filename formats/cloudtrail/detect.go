package cloudtrail

import "bytes"

// Detect reports whether head, the beginning of an uncompressed file, is CloudTrail's: a list of records, be it empty, or records. A digest
// file is not.
func Detect(head []byte) bool { return look(head) == records }

// IsDigest reports whether head, the beginning of an uncompressed file, is that of a CloudTrail digest file, which holds no events.
func IsDigest(head []byte) bool { return look(head) == digest }

type content int

const (
	other content = iota
	records
	digest
)

// enough is how many names of members tell a record, or a digest.
const enough = 3

// look says what head is. It does not need a whole value, and goes on behind a broken line.
func look(head []byte) content {
	head = bytes.TrimPrefix(head, []byte("\ufeff"))
	depth := 0    // open brackets
	at := 0       // the depth at which a record's members stand
	ofRecord := 0 // names met there
	ofDigest := 0 // names met at depth 1
	for i := 0; i < len(head); i++ {
		switch c := head[i]; {
		case c == '{' || c == '[':
			if depth == 0 {
				at, ofDigest = 1, 0
				if c == '[' {
					at = 2
				}
			}
			if depth++; depth == at {
				ofRecord = 0
			}
		case c == '}' || c == ']':
			depth = max(depth-1, 0)
		case c == '"' && depth > 0:
			name, end, ok := stringAt(head, i)
			if !ok {
				depth = 0 // the line is broken
			}
			i = end
			value := valueOf(head, end+1)
			if value == nil {
				continue
			}
			if depth == 1 && value[0] == '[' && (string(name) == "Records" || string(name) == "Events") {
				if next := bytes.TrimLeft(value[1:], " \t\r\n"); len(next) > 0 && next[0] == ']' {
					return records
				}
				at = 3
			}
			if depth == at && isMark(name) {
				ofRecord++
			}
			if depth == at && string(name) == "CloudTrailEvent" || ofRecord == enough {
				return records
			}
			if depth == 1 && bytes.HasPrefix(name, []byte("digest")) {
				if ofDigest++; ofDigest == enough {
					return digest
				}
			}
		case depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n' && c != ',':
			end := bytes.IndexByte(head[i:], '\n')
			if end < 0 {
				return other
			}
			i += end
		}
	}
	return other
}

func isMark(name []byte) bool {
	switch string(name) {
	case "eventVersion", "eventTime", "eventSource", "eventName", "eventID", "userIdentity", "awsRegion", "recipientAccountId":
		return true
	}
	return false
}

// stringAt returns the content of the string that begins at head[i] and where its closing quote is; where it goes past its line or head, that end.
func stringAt(head []byte, i int) (content []byte, end int, ok bool) {
	for end = i + 1; end < len(head); end++ {
		switch head[end] {
		case '"':
			return head[i+1 : end], end, true
		case '\\':
			end++
		case '\n':
			return nil, end, false
		}
	}
	return nil, len(head), false
}

// valueOf returns what follows a colon at head[i:], nil if there is none.
func valueOf(head []byte, i int) []byte {
	rest := bytes.TrimLeft(head[min(i, len(head)):], " \t\r\n")
	if len(rest) == 0 || rest[0] != ':' {
		return nil
	}
	rest = bytes.TrimLeft(rest[1:], " \t\r\n")
	if len(rest) == 0 {
		return nil
	}
	return rest
}
