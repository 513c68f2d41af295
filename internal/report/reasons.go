// SPDX-License-Identifier: Apache-2.0

package report

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
}

// ReasonText says in a few words what a reason of Lost.Reasons counts, empty where it is not known.
func ReasonText(reason string) string { return reasonTexts[reason] }
