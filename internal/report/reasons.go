// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"maps"
	"slices"

	"github.com/loopwatch/loopwatch/internal/report/safetext"
)

// reasonTexts says what each reason of Lost.Reasons counts. A few are no loss, but belong with what
// can make a figure wrong.
var reasonTexts = map[string]string{
	ReasonBlocksOverLimit:   "blocks in every total, but not listed",
	ReasonStacksOverLimit:   "light stacks of blocks with many",
	ReasonBlockersOverLimit: "blocks under no blocker, there are too many",
	ReasonLoopsOverLimit:    "loops not listed with their blocker",

	"records_lost_ring_full":        "events that came faster than they were read",
	"stacks_lost_ring_full":         "stacks that came faster than they were read",
	"holders_lost_ring_full":        "holders that came faster than they were read",
	"stacks_skipped_bound_of_block": "stacks of blocks that had very many",
	"thread_states_unreadable":      "stacks not taken: thread starting or ending",
	"frames_unreadable":             "stacks that broke off at a frame",
	"code_objects_unreadable":       "frames whose function could not be read",
	"code_objects_gone":             "frames whose function had made room for another",
	"instructions_out_of_range":     "frames without a line",
	"stacks_middle_cut":             "deep stacks that lack their middle",
	"stacks_root_not_reached":       "deep stacks that lack their root",
	"holders_unreadable":            "holders of a lock or the GIL without a stack",
	"holders_not_found":             "holders of a lock or the GIL without a name",
	"threads_over_limit":            "threads not watched, there are too many",
	"processes_over_limit":          "processes not watched, there are too many",
	"targets_unreadable":            "paths or addresses that could not be read",
	"epoll_instances_over_limit":    "loops not told how long events waited",
	"returns_to_cpu_worked_out":     "nothing lost: the kernel did not tell of these",

	"loops_over_limit_not_watched":        "loops not watched, there are too many",
	"ended_loops_over_limit":              "ended loops that are not listed",
	"stacks_of_unknown_threads":           "stacks of threads nothing is known of",
	"stacks_over_limit_of_one_block":      "stacks of one block that had very many",
	"records_not_understood":              "events that could not be decoded",
	"kernel_updates_failed":               "settings the kernel did not take",
	"processes_unreadable":                "processes that may be Pythons or not",
	"blocks_of_threads_never_judged":      "blocks of threads that ended too soon",
	"blocks_of_unreadable_stacks":         "blocks not told: maybe not the loop's time",
	"usdt_binaries_unreadable":            "interpreters whose own probes are not used",
	"usdt_probes_not_attached":            "own probes the kernel did not attach",
	"usdt_sites_refused":                  "own probes in a form not understood",
	"usdt_probes_withdrawn_hit_too_often": "own probes taken off, they cost too much",
	"asyncio_tasks_not_understood":        "processes whose tasks are not named",
	"asyncio_tasks_without_name":          "stacks whose task could not be named",

	"processes_starting_or_ending": "processes not looked at: starting or ending",
	"processes_gone":               "processes that ended meanwhile",
	"threads_without_an_end":       "processes whose list of threads broke off",
	"stacks_unreadable":            "stacks that broke off",
	"stacks_torn":                  "stacks that changed each time they were read",
	"asyncio_tasks_unreadable":     "interpreters whose tasks could not be read",
	"asyncio_tasks_torn":           "loops whose tasks changed while they were read",
	"asyncio_tasks_not_of_c":       "tasks of another make than asyncio's own",
	"asyncio_tasks_over_limit":     "tasks not listed, there are too many",
	"asyncio_tasks_of_other_loops": "tasks of loops that no thread runs",
	"coroutines_cut":               "tasks that await more than is shown",
	"targets_changed":              "calls that ended before their target was read",
	"loops_not_watched":            "loops that may be blocked for longer than told",
}

// ReasonText says in a few words what a reason of Lost.Reasons counts, empty where it is not known.
func ReasonText(reason string) string { return reasonTexts[reason] }

// ReasonLines says what was lost: of each reason its name and count, and what that means, which begins a line of its
// own where both do not fit into width columns (0: any number).
func ReasonLines(counts map[string]int64, width int) [][2]string {
	lines := make([][2]string, 0, len(counts))
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		line := fmt.Sprintf("  %s: %d", safetext.Line(reason), counts[reason])
		says := reasonTexts[reason]
		if says != "" {
			between := ", "
			if width > 0 && safetext.Width(line+between+says) > width {
				between = "\n      "
			}
			says = between + says
		}
		lines = append(lines, [2]string{line, says})
	}
	return lines
}
