package service

import (
	"fmt"
	"time"
)

// jumps notices when the clock is set: the time that has passed by it is then not the time that has passed.
type jumps struct {
	now    func() time.Time
	steady func() time.Duration // the monotonic clock
	// wall is what the clock showed when steady showed passed.
	wall   time.Time
	passed time.Duration
	ahead  time.Duration // by how much it was set forward, as far as nobody has vouched for it
}

// maxJump is how far the clock may move beside the time that passes; less is what time daemons do, and no day is sealed much too early by it.
const maxJump = 5 * time.Minute

// maxOffset is by how much our clock may differ from the store's.
const maxOffset = 15 * time.Minute

func newJumps(now func() time.Time, steady func() time.Duration) jumps {
	return jumps{now: now, steady: steady, wall: now().Round(0), passed: steady()}
}

// moved looks at the clock, and reports whether it was set since somebody vouched for it.
func (j *jumps) moved() bool {
	wall, passed := j.now().Round(0), j.steady()
	j.ahead += wall.Sub(j.wall) - (passed - j.passed)
	j.wall, j.passed = wall, passed
	return j.ahead.Abs() > maxJump
}

// check says why nothing may be sealed by this clock. offset is by how much the store's clock is ahead of ours, if that is known: as it is now, and not as it was before
// ours was set.
func (j *jumps) check(offset time.Duration, known bool) error {
	switch {
	case known && offset.Abs() > maxOffset:
		return fmt.Errorf("the store's clock differs from ours by %v: nothing is sealed until they agree; set the clock", offset.Round(time.Second))
	case known:
		j.ahead = 0 // somebody else's clock says the same
	case j.ahead < -maxJump:
		j.ahead = 0 // set back: days are sealed later, and no day twice
	case j.ahead > maxJump:
		return fmt.Errorf("the clock was set forward by %v: a day could be sealed before it is over; set it right, or start the service again if it is right now", j.ahead.Round(time.Second))
	}
	return nil
}
