// SPDX-License-Identifier: Apache-2.0

package words

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// reasonTexts says what each reason of Lost.Reasons counts. A few are no loss, but belong with what
// can make a figure wrong.
var reasonTexts = map[string]string{
	summary.ReasonBlocksOverLimit:   "blocks counted in every total, but not listed",
	summary.ReasonStacksOverLimit:   "stacks not listed: the lightest of blocks with many",
	summary.ReasonBlockersOverLimit: "blocks under no blocker: there were too many",
	summary.ReasonLoopsOverLimit:    "loops not listed with their blocker",

	"records_lost_ring_full":        "events that came too fast to be read: blocks may be missing",
	"stacks_lost_ring_full":         "stacks that came too fast to be read: some lines may be missing",
	"holders_lost_ring_full":        "holders that came too fast to be read: a lock's holder may have no stack",
	"stacks_skipped_bound_of_block": "stacks not taken of blocks that had very many",
	"thread_states_unreadable":      "stacks not taken: the thread was starting or ending",
	"frames_unreadable":             "stacks that broke off at a frame: outer lines are missing",
	"code_objects_unreadable":       "frames without a name: the function could not be read",
	"code_objects_gone":             "frames without a name: the function was gone when it was read",
	"instructions_out_of_range":     "frames without a line",
	"code_objects_over_budget":      "frames without a name or a line: their process had too much to read",
	"template_lines_unreadable":     "frames of a template without a line: its map of lines could not be read",
	"stacks_middle_cut":             "stacks too deep, without their middle",
	"stacks_root_not_reached":       "stacks too deep, without their root",
	"holders_unreadable":            "holders of a lock or the GIL without a stack",
	"holders_not_found":             "holders of a lock or the GIL without a name",
	"threads_over_limit":            "threads not watched: there were too many",
	"processes_over_limit":          "processes not watched: there were too many",
	"targets_unreadable":            "paths or addresses that could not be read",
	"ready_events_not_timed":        "events that are not in a loop's lag: more than 64 were ready at one time",
	"epoll_instances_over_limit":    "loops of which it is not known how long events waited",
	"returns_to_cpu_worked_out":     "returns to a CPU worked out by loopwatch: nothing is lost",

	"loops_over_limit_not_watched":        "loops not watched: there were too many",
	"ended_loops_over_limit":              "loops that ended not listed: there were too many",
	"stacks_of_unknown_threads":           "stacks of threads that nothing is known of, not used",
	"stacks_over_limit_of_one_block":      "stacks not kept of blocks that had very many",
	"records_not_understood":              "events that could not be decoded: blocks may be missing",
	"kernel_updates_failed":               "settings the kernel did not take: blocks may be missing",
	"processes_unreadable":                "processes, ended since, that could not be read: Pythons or not",
	"blocks_of_threads_never_judged":      "blocks of threads that ended before a loop could be seen: not reported",
	"blocks_of_unreadable_stacks":         "blocks not reported: the stack does not show whether the loop ran",
	"usdt_binaries_unreadable":            "interpreters whose own probes could not be used: samples are used instead",
	"usdt_probes_not_attached":            "probes of interpreters not attached by the kernel: samples are used instead",
	"returns_from_waits_missed":           "iterations whose beginning the kernel did not show: blocks may be missing",
	"cpus_without_clock":                  "processors without a clock: no stack is taken of what runs there",
	"usdt_sites_refused":                  "probes of interpreters in a form not understood: samples are used instead",
	"usdt_probes_withdrawn_hit_too_often": "probes of interpreters taken off because they cost too much",
	"pools_unreadable":                    "processes whose pools of threads could not be read",
	"pools_over_limit":                    "threads of pools not shown: there were too many pools",
	"layouts_over_limit":                  "processes not watched: too many CPythons are laid out in ways of their own",
	"asyncio_tasks_not_understood":        "processes whose tasks have no name here",
	"asyncio_tasks_without_name":          "stacks whose task could not be named",
	"reads_of_memory_given_up":            "reads of processes given up: they did not answer in time",
	"reads_of_files_given_up":             "reads of processes' files given up: their file system did not answer in time",
	"native_functions_over_budget":        "functions of native code without a name: too much was read of the files",
	"parent_threads_over_limit":           "processes whose loop may be a copy of their parent's: that has too many threads",

	"processes_starting_or_ending": "processes not looked at: starting or ending",
	"processes_gone":               "processes that ended meanwhile",
	"threads_without_an_end":       "processes whose list of threads broke off: threads may be missing",
	"stacks_unreadable":            "stacks that broke off: outer lines are missing",
	"stacks_torn":                  "stacks that changed while being read: two moments may be mixed",
	"asyncio_tasks_unreadable":     "interpreters whose tasks could not be read",
	"asyncio_tasks_torn":           "loops whose tasks changed while being read",
	"asyncio_tasks_not_of_c":       "tasks not shown: not made by asyncio's C module",
	"asyncio_tasks_over_limit":     "tasks not listed: there were too many",
	"asyncio_tasks_over_budget":    "tasks missing, or shown in part: their process has too much to list",
	"stacks_over_budget":           "stacks missing, or shown in part: their process has too many frames",
	"asyncio_tasks_of_other_loops": "tasks of loops that no thread runs now, not shown",
	"coroutines_cut":               "tasks that await more than is shown",
	"targets_changed":              "calls that ended before the target was read",
	"samples_skipped":              "samples not taken, to take less than a hundredth of a CPU: times are less exact",
	"samples_unreadable":           "samples of processes that could not be read: the next one has their time",
	"loops_without_thread_id":      "loops shown under their process: their thread was not found",
	"waits_over_limit":             "waits not told apart: there were too many different ones",
	"await_chains_cut":             "chains of awaits without their outer part: too many tasks wait for one another",
	"loops_not_watched":            "loops that may be blocked for longer than shown",
}

// noLoss are the reasons of Lost.Reasons that count what was made good: nobody has to act on them, and no figure is
// less for them. The text leaves them out unless it is verbose.
var noLoss = map[string]bool{"returns_to_cpu_worked_out": true}

// ReasonText says in a few words what a reason of Lost.Reasons counts, empty where it is not known. It begins with
// things in the plural.
func ReasonText(reason string) string { return reasonTexts[reason] }

// ReasonLines says what was lost, a line for each reason, with the reason's name behind it where names are wanted.
// Where that is wider than width (0: any), it goes on in an indented line.
func ReasonLines(counts map[string]int64, names bool, width int) []string {
	lines := make([]string, 0, len(counts))
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		if noLoss[reason] && !names {
			continue
		}
		name, n := safetext.Line(reason), counts[reason]
		things, rest, _ := strings.Cut(reasonTexts[reason], " ")
		if things == "" { // a reason of another version's
			lines = append(lines, fmt.Sprintf("  %s: %d", name, n))
			continue
		}
		text := "  " + Counted(n, things) + " " + rest
		if names {
			text += " (" + name + ")"
		}
		lines = append(lines, Hang(text, width))
	}
	return lines
}

// LostLine says in a sentence what lost events and stacks mean, empty where none is.
func LostLine(l model.Lost) string {
	switch {
	case l.Events > 0 && l.Stacks > 0:
		return fmt.Sprintf("%s and %s were lost: there may be more blocks, and longer ones, than are shown.", Plural(l.Events, "event"), Plural(l.Stacks, "stack"))
	case l.Events > 0:
		return fmt.Sprintf("Lost: %s. There may be more blocks, and longer ones, than are shown.", Plural(l.Events, "event"))
	case l.Stacks > 0:
		return fmt.Sprintf("Lost: %s. Some lines of code may be missing.", Plural(l.Stacks, "stack"))
	}
	return ""
}
