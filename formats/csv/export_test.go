package csv

// Cells returns the cells of a row as the Checker reads them, escapes not yet undone.
func Cells(line string) ([]string, bool) {
	row, more := []byte(line), true
	var cells []string
	for range Header() {
		var c cell
		var reason string
		if !more {
			return nil, false
		}
		if c, row, more, reason = nextCell(row); reason != "" {
			return nil, false
		}
		text := make([]byte, 0, len(c.text))
		for i := 0; i < len(c.text); i++ {
			if text = append(text, c.text[i]); c.text[i] == '"' {
				i++
			}
		}
		cells = append(cells, string(text))
	}
	return cells, !more
}
