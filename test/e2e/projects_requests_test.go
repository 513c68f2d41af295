// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// request asks a project for something and waits for the answer.
type request func(*startedProject) error

// gets asks for some pages.
func gets(paths ...string) (out []request) {
	for _, path := range paths {
		out = append(out, func(p *startedProject) error {
			return fetch(fmt.Sprintf("http://127.0.0.1:%d%s", p.port, path), nil)
		})
	}
	return out
}

// proxies asks another server for a page, through the project.
func proxies(query string) request {
	return func(p *startedProject) error {
		return fetch(p.host.peer.URL+"/?"+query, &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", p.port)})
	}
}

func fetch(page string, proxy *url.URL) error {
	transport := &http.Transport{DisableKeepAlives: true, Proxy: func(*http.Request) (*url.URL, error) { return proxy, nil }}
	client := http.Client{Transport: transport, Timeout: patience}
	answer, err := client.Get(page)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", page, answer.Status)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// says sends a message through a web socket and waits for the answer.
func says(path, text string) request {
	return func(p *startedProject) error {
		address := fmt.Sprintf("127.0.0.1:%d", p.port)
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n", path, address)
		r := bufio.NewReader(c)
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		if answer.StatusCode != http.StatusSwitchingProtocols {
			return fmt.Errorf("%s: %s", path, answer.Status)
		}
		frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...) // masked by zeroes
		if _, err := c.Write(frame); err != nil {
			return err
		}
		_, err = io.ReadFull(r, make([]byte, 2+len(text)))
		return err
	}
}

// mails sends an e-mail.
func mails(to, body string) request {
	return func(p *startedProject) error {
		return smtp.SendMail(fmt.Sprintf("127.0.0.1:%d", p.port), nil, "test@example.org", []string{to + "@example.org"}, []byte("Subject: x\r\n\r\n"+body+"\r\n"))
	}
}

// connects asks for nothing.
func connects(p *startedProject) error {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.port))
	if err != nil {
		return err
	}
	return c.Close()
}

// sends has celery call tasks, and waits until it has.
func sends(tasks ...string) request {
	return func(p *startedProject) error {
		before := len(p.lines())
		code := "from shop import tasks"
		for _, task := range tasks {
			code += "; tasks." + task + ".delay()"
		}
		cmd := exec.Command(filepath.Join(p.dir, "venv/bin/python3"), "-c", code)
		cmd.Env = p.cmd.Env
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		if tasks[0] == "greet" { // which blocks nothing
			return eventually(func() bool {
				left, _ := filepath.Glob(filepath.Join(p.dir, "queue", "*celery.msg"))
				return len(left) == 0
			})
		}
		return eventually(func() bool { return len(p.lines()) == before+len(tasks) })
	}
}

// crawls waits until a page that says something has been crawled, and what it has the spider do is done.
func crawls(word string) request {
	return func(p *startedProject) error {
		before := len(p.lines())
		p.host.mu.Lock()
		p.host.word, p.host.told = word, false
		p.host.mu.Unlock()
		return eventually(func() bool {
			p.host.mu.Lock()
			defer p.host.mu.Unlock()
			return p.host.told && (word == "" || len(p.lines()) > before)
		})
	}
}

// outputs waits for what a project writes.
func outputs(text string) request {
	return func(p *startedProject) error {
		return eventually(func() bool { return strings.Contains(p.said(), text) })
	}
}

// logs waits until so many blocks have happened.
func logs(n int) request {
	return func(p *startedProject) error { return eventually(func() bool { return len(p.lines()) >= n }) }
}

func (p *startedProject) lines() [][]byte {
	text, _ := os.ReadFile(p.logFile())
	return bytes.SplitAfter(bytes.TrimSpace(text), []byte("\n"))[:bytes.Count(text, []byte("\n"))]
}

func eventually(done func() bool) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return nil
		}
	}
	return errors.New("it does not happen")
}
