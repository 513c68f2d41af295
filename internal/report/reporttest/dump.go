// SPDX-License-Identifier: Apache-2.0

package reporttest

import (
	"fmt"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Dump makes a dump that has one loop that is blocked, one that is idle and has tasks, and one that is active; every name is s.
func Dump(s string) *model.Dump {
	idleFor, blockedFor := int64(5e9), int64(3.2e9)
	f := model.Frame{Function: "fetch" + s, File: "/srv/" + s + "/app.py", Line: 35, App: true}
	idle := model.DumpLoop{DumpThread: model.DumpThread{TID: 20, Thread: s, State: model.StateIdle, ForNS: &idleFor}, Loop: "asyncio"}
	idle.Tasks = []model.DumpTask{
		{ID: "0x1", Name: "root" + s, Frames: []model.Frame{f}, Awaits: []string{"0x2", "0x3"}},
		{ID: "0x2", Name: "Task-2" + s, Frames: []model.Frame{f}},
		{ID: "0x3", Name: "circle" + s, Frames: []model.Frame{f}, Awaits: []string{"0x4"}},
		{ID: "0x4", Name: "circle too" + s, Frames: []model.Frame{f}, Awaits: []string{"0x3"}},
		{ID: "0x5", Name: "alone" + s, Frames: []model.Frame{f}, Awaits: []string{"0x6"}},
		{ID: "0x6", Name: "alone too" + s, Frames: []model.Frame{f}, Awaits: []string{"0x5"}},
	}
	for i := range 100 {
		idle.Tasks = append(idle.Tasks, model.DumpTask{ID: fmt.Sprintf("0x1%03d", i), Name: fmt.Sprintf("Task-%d", 100+i), Frames: []model.Frame{{Function: "worker", File: "w.py", Line: 1}}})
	}
	three, four, late := 3, 4, int64(1.2e9)
	idle.Queue = &model.LoopQueue{Ready: &three, Scheduled: &four, TimerLateNS: &late, Tasks: len(idle.Tasks)}
	idle.Waits = []model.Wait{
		{On: model.WaitSleep, Tasks: 60, Call: "sleep", Place: &f},
		{On: model.WaitLock, Tasks: 37, Call: "Lock.acquire", Place: &f, Holder: &model.WaitHolder{Task: "0x1", Name: "keeper" + s, Frames: []model.Frame{f}}},
		{On: model.WaitQueue, Tasks: 2, Call: "Queue.put" + s, Place: &f}, {On: model.WaitExecutor, Tasks: 2, Queued: true},
	}
	pools := []model.Executor{
		{Name: "crunchers" + s, Kind: model.ExecutorThreads, Threads: 4, Max: &four, Busy: 4, Queued: &three, Work: []model.ExecutorWork{{Frame: &f, Count: 3}, {Count: 1}}},
		{Name: "ProcessPoolExecutor", Kind: model.ExecutorProcesses, Default: true, Threads: 3, Max: &four, Busy: 1},
	}
	deadlock := []model.DeadlockMember{{Task: "0x1", Name: "one" + s, Holds: model.WaitLock, Frame: &f}, {Task: "0x2", Name: "two" + s, Holds: model.WaitTask, Frame: &f}}
	blocked := model.DumpThread{TID: 10, Thread: s, State: model.StateBlocked, ForNS: &blockedFor, Cause: model.CauseNet, Culprit: &f, Leaf: &f, Frames: []model.Frame{f},
		Detail: model.Detail{Syscall: "recvfrom", Target: "tcp 10.0.0.1:443" + s}}
	active := model.DumpThread{TID: 30, Thread: s, State: model.StateActive, Cause: model.CauseCPU, Culprit: &f, Frames: []model.Frame{f}}
	return &model.Dump{TakenAt: "2026-11-27T10:00:00Z", Processes: []model.DumpProcess{
		{PID: 20, Command: "idle.py" + s, Python: "3.14.0", Loops: []model.DumpLoop{idle}, Executors: pools, Deadlocks: [][]model.DeadlockMember{deadlock},
			Threads: []model.DumpThread{{TID: 21, Thread: s, State: model.StateRunning, Executor: "crunchers" + s}}},
		{PID: 10, Command: "python3 app.py" + s, Python: "3.14.0", Container: s, Loops: []model.DumpLoop{{DumpThread: blocked, Loop: "asyncio", Task: s}},
			Threads: []model.DumpThread{{TID: 11, Thread: "other" + s, State: model.StateRunning, Frames: []model.Frame{f}, Torn: true}}, GIL: []model.DumpGIL{{TID: 11, Thread: s}}},
		{PID: 30, Command: "active.py" + s, Loops: []model.DumpLoop{{DumpThread: active, Loop: "uvloop"}}},
	}, Lost: map[string]int64{"stacks_torn": 1}, Unsupported: []model.Unsupported{{PID: 4, Command: s, Reason: s}}}
}
