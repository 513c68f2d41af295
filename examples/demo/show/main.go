// SPDX-License-Identifier: Apache-2.0

// Command show reads a JSON report and prints it as `loopwatch report` does for people: the demo
// checks and shows one and the same observation.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/text"
)

func main() {
	var r model.Report
	err := json.NewDecoder(os.Stdin).Decode(&r)
	if err == nil {
		err = text.Write(os.Stdout, &r, text.Options{})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "show:", err)
		os.Exit(1)
	}
}
