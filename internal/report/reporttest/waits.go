// SPDX-License-Identifier: Apache-2.0

package reporttest

import "github.com/loopwatch/loopwatch/internal/model"

// Waits makes a profile of awaits in which tasks wait for a lock by two chains, for a pool of connections, and for what an idle server waits for; every
// name has s in it.
func Waits(s string) *model.WaitProfile {
	frame := func(function string, line int, app bool) model.Frame {
		return model.Frame{Function: function + s, File: "/srv/" + s + "/app.py", Line: line, App: app}
	}
	get, serve, other, acquire := frame("get", 41, true), frame("serve", 7, true), frame("other", 9, true), frame("Lock.acquire", 114, false)
	keeper := &model.WaitHolder{Task: "0x1", Name: "Task-3" + s, Frames: []model.Frame{frame("refresh", 88, true)}}
	one, two := model.LoopID{PID: 10, TID: 10}, model.LoopID{PID: 20, TID: 21}
	lock := model.TaskWaits{On: model.WaitLock, Call: "Lock.acquire", Place: &get, PlaceMax: 37, Contended: true}
	first, second := lock, lock
	first.Chain, first.TaskNS, first.Samples, first.TasksMax, first.TasksMean, first.Holder = []model.Frame{acquire, get, serve}, 1500e9, 150, 30, 25, keeper
	first.Loops = []model.LoopWaits{{LoopID: one, TaskNS: 1000e9, Samples: 100}, {LoopID: two, TaskNS: 500e9, Samples: 50}}
	second.Chain, second.TaskNS, second.Samples, second.TasksMax, second.TasksMean = []model.Frame{acquire, get, other}, 450e9, 45, 8, 7.5
	second.Loops = []model.LoopWaits{{LoopID: one, TaskNS: 450e9, Samples: 45}}
	of := func(on model.WaitKind, call string, place *model.Frame, ns int64, tasks int) model.TaskWaits {
		w := model.TaskWaits{On: on, Call: call, Place: place, TaskNS: ns, Samples: 10, TasksMax: tasks, PlaceMax: tasks, TasksMean: float64(ns) / 60e9}
		w.Loops = []model.LoopWaits{{LoopID: one, TaskNS: ns, Samples: 10}}
		if place != nil {
			w.Chain = []model.Frame{*place, serve}
		}
		return w
	}
	pool := of(model.WaitQueue, "Queue.get", &other, 1190e9, 20)
	pool.Contended = true
	consumer := of(model.WaitQueue, "Queue.get", &serve, 120e9, 2)
	consumer.Consumers = true
	carried := of(model.WaitTask, "gather", &serve, 5000e9, 90)
	carried.Elsewhere = true
	return &model.WaitProfile{
		StartedAt: "2026-11-27T10:00:00Z", StartedNS: 1e9, EndedNS: 61e9, Rate: 10, Samples: 600, Processes: 2, IntervalMaxNS: 150e6,
		Host: model.DumpHost{Hostname: "host", Kernel: "6.12.0", Arch: "amd64"},
		Loops: []model.WaitLoop{
			{PID: 10, TID: 10, Command: "python3 app.py" + s, Python: "3.14.0", Loop: "asyncio", Container: s, TasksMax: 99, TaskNS: 2820e9},
			{PID: 20, TID: 21, Command: "other.py" + s, Python: "3.8.1", Loop: "uvloop", TasksMax: 9, TaskNS: 500e9},
		},
		Waits: []model.TaskWaits{carried, first, pool, second, consumer, of(model.WaitStream, "read", &other, 60e9, 1), of("novel"+model.WaitKind(s), "", nil, 0, 1)},
		Lost:  map[string]int64{"samples_skipped": 5}, Unsupported: []model.Unsupported{{PID: 4, Command: s, Reason: s}},
	}
}

// WaitedNS returns the waiting time of a profile that counts.
func WaitedNS(p *model.WaitProfile) (ns int64) {
	for i := range p.Waits {
		if !p.Waits[i].Elsewhere {
			ns += p.Waits[i].TaskNS
		}
	}
	return ns
}
