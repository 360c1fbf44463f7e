package verify

import (
	"context"

	logs "daybook/batch/tlog"
)

// checkNexts checks what follows each checkpoint.
func (v *verifier) checkNexts(ctx context.Context) {
	for _, size := range v.inv.nexts {
		v.locate(logs.NextKey(size), Finding{})
	}
}
