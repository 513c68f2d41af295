// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"sync"
)

// counts are how often each thing was done. They are safe for concurrent use.
type counts struct {
	mu sync.Mutex
	n  map[string]int64
}

func (c *counts) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]int64)
	}
	c.n[what]++
}

func (c *counts) values() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}

// since returns what has been added to earlier values.
func (c *counts) since(before map[string]int64) map[string]int64 {
	out := c.values()
	for what, n := range before {
		out[what] -= n
	}
	return out
}
