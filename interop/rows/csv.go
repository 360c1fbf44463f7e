package rows

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// CSVHeader is the header of our CSV: design.md §8.
var CSVHeader = []string{
	"Timestamp", "IP Address", "User Agent", "Acting User ID", "Action", "Object ID", "Object Name", "Project ID", "Project Name",
	"Success Status", "Info", "Label", "Auth Token",
}

var csvFields = []string{
	"time", "ip", "user_agent", "actor_id", "action", "object_id", "object_name", "project_id", "project_name",
	"outcome", "info", "token_label", "token_last4",
}

// InCSV is what CSV holds of an evidence row.
func InCSV(r Row) Row {
	c := r.pick(csvFields...)
	c["time"] = r.cutTime(time.Millisecond)
	if r["outcome"] == "success" {
		c["outcome"] = "Yes"
	} else {
		c["outcome"] = "No"
	}
	return c
}

// CSVRow makes a row of the cells of one line, and undoes the marks for spreadsheets and the escapes.
func CSVRow(cells []string) (Row, error) {
	if len(cells) != len(csvFields) {
		return nil, fmt.Errorf("%d cells", len(cells))
	}
	row := Row{}
	for i, name := range csvFields {
		cell, err := csvText(cells[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", CSVHeader[i], err)
		}
		if cell != "" {
			row[name] = cell
		}
	}
	const form = "2006-01-02T15:04:05.000Z"
	t, err := time.Parse(form, row["time"])
	if err != nil {
		return nil, err
	}
	row["time"] = timeText(t)
	if row["outcome"] != "Yes" && row["outcome"] != "No" {
		return nil, fmt.Errorf("success status %q", row["outcome"])
	}
	return row, nil
}

// csvText undoes what keeps a text on its line and a spreadsheet from running it.
func csvText(cell string) (string, error) {
	if rest, marked := strings.CutPrefix(cell, "'"); marked {
		// A mark stands only before a formula; a quote that is the event's own has been marked itself.
		if rest == "" || !strings.ContainsRune(`=+-@'\`, rune(rest[0])) {
			return "", fmt.Errorf("a mark before %q", rest)
		}
		cell = rest
	} else if cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) {
		return "", fmt.Errorf("%q would be a formula", cell)
	}
	var b strings.Builder
	for i := 0; i < len(cell); i++ {
		c := cell[i]
		if c < ' ' || c == 0x7f {
			return "", fmt.Errorf("control character in %q", cell)
		}
		if c != '\\' {
			b.WriteByte(c)
			continue
		}
		if i++; i == len(cell) {
			return "", fmt.Errorf("%q ends in a backslash", cell)
		}
		switch cell[i] {
		case '\\':
			b.WriteByte('\\')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			if len(cell) < i+5 {
				return "", fmt.Errorf("short escape in %q", cell)
			}
			n, err := strconv.ParseUint(cell[i+1:i+5], 16, 16)
			if err != nil {
				return "", fmt.Errorf("escape in %q: %w", cell, err)
			}
			b.WriteRune(rune(n))
			i += 4
		default:
			return "", fmt.Errorf("unknown escape in %q", cell)
		}
	}
	return b.String(), nil
}
