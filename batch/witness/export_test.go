package witness

// SetBefore makes w call f ahead of each operation on its state folder.
func (w *Witness) SetBefore(f func(op, name string) error) { w.state.before = f }

// ParseRequest is parseRequest, for the fuzzer: what it takes, rendered again.
func ParseRequest(body []byte) (old int64, proof []string, note []byte, err error) {
	r, err := parseRequest(body)
	if err != nil {
		return 0, nil, nil, err
	}
	for _, h := range r.proof {
		proof = append(proof, h.String())
	}
	return r.old, proof, r.note, nil
}
