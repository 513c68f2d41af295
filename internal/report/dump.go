// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// WriteDumpJSON writes d as one indented JSON document (schema loopwatch.dump/v1).
func WriteDumpJSON(w io.Writer, d *model.Dump) error {
	summary.NormaliseDump(d)
	var b bytes.Buffer
	if err := encode(&b, d, ""); err != nil {
		return fmt.Errorf("encode dump: %w", err)
	}
	return writeAll(w, b.Bytes(), []byte("\n"))
}
