package soak_test

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// step is one turn of the schedule: what happens to the network, what happens to the service, and how long it is let go on.
type step struct {
	network string
	toxics  []toxic
	deed    string
	n       int // how far the deed goes; what that is, it says
	early   time.Duration
	pause   time.Duration
}

func (s step) String() string {
	text := s.network
	for _, x := range s.toxics {
		text += fmt.Sprintf(" %s/%s %v", x.Type, x.Stream, x.Attributes)
	}
	return fmt.Sprintf("%s; %s %d; %v", text, s.deed, s.n, s.pause)
}

// What may happen to the network.
const (
	keep  = "as it was"
	heal  = "healed"
	cut   = "cut off"
	taint = "disturbed"
)

// deeds are what may happen to the service, each so many times as often as it is named.
var deeds = []string{
	"kill", "kill", "kill", "kill", "stop", "stop", "reload", "reload", "misconfigure", "roll", "roll", "roll", "disable", "disable", "enable", "enable", "backup", "restore", "move",
	"nothing", "nothing", "nothing",
}

// schedule is what happens, in order. It depends on the seed alone.
type schedule struct{ random *rand.Rand }

func (s schedule) next() step {
	r := s.random
	x := step{network: []string{keep, keep, heal, heal, taint, taint, taint, cut}[r.IntN(8)]}
	if x.network == taint {
		for range 1 + r.IntN(2) {
			x.toxics = append(x.toxics, s.toxic())
		}
	}
	x.deed = deeds[r.IntN(len(deeds))]
	x.n = r.IntN(1000)
	x.early = time.Duration(r.IntN(1500)) * time.Millisecond
	x.pause = time.Duration(100+r.IntN(2900)) * time.Millisecond
	return x
}

func (s schedule) toxic() toxic {
	r := s.random
	x := toxic{Stream: []string{"upstream", "downstream"}[r.IntN(2)], Toxicity: 0.2 + 0.8*r.Float64()}
	n := r.IntN(1000)
	switch r.IntN(7) {
	case 0:
		x.Type, x.Attributes = "latency", map[string]int{"latency": n, "jitter": n / 2}
	case 1:
		x.Type, x.Attributes = "timeout", map[string]int{"timeout": n % 3 * 500} // 0: until it is healed
	case 2:
		x.Type, x.Attributes = "reset_peer", map[string]int{"timeout": n}
	case 3:
		x.Type, x.Attributes = "slow_close", map[string]int{"delay": n}
	case 4:
		x.Type, x.Attributes = "limit_data", map[string]int{"bytes": 100 + n*n/5}
	case 5:
		x.Type, x.Attributes = "bandwidth", map[string]int{"rate": 5 + n/5}
	default:
		x.Type, x.Attributes = "slicer", map[string]int{"average_size": 100 + n, "size_variation": 50, "delay": n}
	}
	return x
}
