// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// MirrorEnv overrides the mirror of the host's apt configuration.
const MirrorEnv = "LOOPWATCH_MIRROR"

var errNoMirror = errors.New("apt has no Debian archive configured: set " + MirrorEnv + " to a mirror's URL, or run apt-get update")

// Mirror returns the Debian archive to fetch from: $LOOPWATCH_MIRROR, else where the host's own
// packages come from.
func Mirror(ctx context.Context) (string, error) {
	if m := os.Getenv(MirrorEnv); m != "" {
		return m, nil
	}
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages").Output()
	if err != nil {
		return "", fmt.Errorf("ask apt for its archives: %w", err)
	}
	return mirrorOf(string(out))
}

// mirrorOf picks the archive out of lines "URI LABEL". Debian's main archive is labelled
// "Debian", its security archive is not.
func mirrorOf(targets string) (string, error) {
	for line := range strings.Lines(targets) {
		uri, label, _ := strings.Cut(strings.TrimSpace(line), " ")
		if label != "Debian" {
			continue
		}
		if list, ok := strings.CutPrefix(uri, "mirror+file:"); ok {
			return firstMirror(strings.TrimSuffix(list, "/"))
		}
		return strings.TrimSuffix(uri, "/"), nil
	}
	return "", errNoMirror
}

// firstMirror returns the first entry of a mirror list, the form Debian's cloud images use.
func firstMirror(path string) (string, error) {
	list, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read apt's mirror list: %w", err)
	}
	for line := range strings.Lines(string(list)) {
		if f := strings.Fields(line); len(f) > 0 && !strings.HasPrefix(f[0], "#") {
			return strings.TrimSuffix(f[0], "/"), nil
		}
	}
	return "", errNoMirror
}

// hostOptions returns what the host's apt says about reaching a mirror and about how fresh
// it must be. What it says about signatures is not passed on: those are always checked.
func hostOptions(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, "apt-config", "dump", "--format", `%F "%v";%n`, "Acquire").Output()
	if err != nil {
		return nil, fmt.Errorf("ask apt for its configuration: %w", err)
	}
	return optionsOf(string(out)), nil
}

func optionsOf(dump string) []string {
	var options []string
	for line := range strings.Lines(dump) {
		line = strings.TrimSpace(line)
		for _, prefix := range []string{"Acquire::http::", "Acquire::https::", "Acquire::Check-Date ", "Acquire::Check-Valid-Until "} {
			if strings.HasPrefix(line, prefix) && !strings.HasSuffix(line, ` "";`) {
				options = append(options, line)
			}
		}
	}
	return options
}
