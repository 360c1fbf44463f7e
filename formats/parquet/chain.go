package parquet

import "io"

const blockSize = 32 << 10

// blocks lends out memory in pieces of blockSize and takes it back, so that the pages of a row group are held without growing and copying,
// and the next row group uses the same memory.
type blocks struct{ free [][]byte }

func (b *blocks) get() []byte {
	if n := len(b.free); n > 0 {
		block := b.free[n-1]
		b.free = b.free[:n-1]
		return block
	}
	return make([]byte, 0, blockSize)
}

// chain is bytes in borrowed blocks.
type chain struct {
	list [][]byte
	size int64
}

func (c *chain) write(from *blocks, p []byte) {
	c.size += int64(len(p))
	for len(p) > 0 {
		last := len(c.list) - 1
		if last < 0 || len(c.list[last]) == blockSize {
			c.list = append(c.list, from.get())
			last++
		}
		block := c.list[last]
		n := copy(block[len(block):blockSize], p)
		c.list[last] = block[:len(block)+n]
		p = p[n:]
	}
}

// writeTo writes the chain to w and gives its blocks back.
func (c *chain) writeTo(w io.Writer, to *blocks) error {
	for _, block := range c.list {
		if _, err := w.Write(block); err != nil {
			return err
		}
		to.free = append(to.free, block[:0])
	}
	clear(c.list)
	c.list, c.size = c.list[:0], 0
	return nil
}
