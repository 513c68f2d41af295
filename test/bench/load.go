// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
)

var request = []byte("GET /orders/17 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: application/json\r\n\r\n")

// customer asks one connection's requests, one after the other, and counts them in done. It
// returns when the server goes away.
func customer(address string, done *atomic.Int64) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		if _, err := conn.Write(request); err != nil {
			return fmt.Errorf("send request: %w", err)
		}
		if err := skipResponse(in); err != nil {
			return fmt.Errorf("read response: %w", err)
		}
		done.Add(1)
	}
}

// skipResponse reads one response with a Content-Length and throws it away.
func skipResponse(in *bufio.Reader) error {
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			_, err := io.CopyN(io.Discard, in, int64(length))
			return err
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length:")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
}
