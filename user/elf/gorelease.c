/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/gorelease.h"

#include "core/util.h"

/* clang-format off */
static const char *const reasons_0[] = {
	"", "GC assist marking", "IO wait", "chan receive (nil chan)", "chan send (nil chan)",
	"dumping heap", "garbage collection", "garbage collection scan", "panicwait", "select",
	"select (no cases)", "GC assist wait", "GC sweep wait", "GC scavenge wait", "chan receive",
	"chan send", "finalizer wait", "force gc (idle)", "semacquire", "sleep", "sync.Cond.Wait",
	"timer goroutine (idle)", "trace reader (blocked)", "wait for GC cycle",
	"GC worker (idle)", "preempted", "debug call"};
static const char *const reasons_22[] = {
	"", "GC assist marking", "IO wait", "chan receive (nil chan)", "chan send (nil chan)",
	"dumping heap", "garbage collection", "garbage collection scan", "panicwait", "select",
	"select (no cases)", "GC assist wait", "GC sweep wait", "GC scavenge wait", "chan receive",
	"chan send", "finalizer wait", "force gc (idle)", "semacquire", "sleep", "sync.Cond.Wait",
	"sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock", "trace reader (blocked)",
	"wait for GC cycle", "GC worker (idle)", "GC worker (active)", "preempted", "debug call"};
static const char *const reasons_24[] = {
	"", "GC assist marking", "IO wait", "chan receive (nil chan)", "chan send (nil chan)",
	"dumping heap", "garbage collection", "garbage collection scan", "panicwait", "select",
	"select (no cases)", "GC assist wait", "GC sweep wait", "GC scavenge wait", "chan receive",
	"chan send", "finalizer wait", "force gc (idle)", "semacquire", "sleep", "sync.Cond.Wait",
	"sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock", "sync.WaitGroup.Wait",
	"trace reader (blocked)", "wait for GC cycle", "GC worker (idle)", "GC worker (active)",
	"preempted", "debug call"};
static const char *const reasons_26[] = {
	"", "GC assist marking", "IO wait", "dumping heap", "garbage collection",
	"garbage collection scan", "panicwait", "GC assist wait", "GC sweep wait",
	"GC scavenge wait", "finalizer wait", "force gc (idle)", "GOMAXPROCS updater (idle)",
	"semacquire", "sleep", "chan receive (nil chan)", "chan send (nil chan)",
	"select (no cases)", "select", "chan receive", "chan send", "sync.Cond.Wait",
	"sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock", "sync.WaitGroup.Wait",
	"trace reader (blocked)", "wait for GC cycle", "GC worker (idle)", "GC worker (active)",
	"preempted", "debug call"};
/* clang-format on */

static const struct go_release releases[] = {
	{
		.since = 0,
		.id_wrapper = 21,
		.id_gopanic = 9,
		.id_sigpanic = 18,
		.id_panicwrap = 14,
		.wait_reasons = reasons_0,
		.nwait_reasons = ARRAY_SIZE(reasons_0),
		.goroutine_frames = 32,
		.heap_frames = 32,
		.headroom_is_share = false,
		.prints_last_stacks = false,
		.runtime_path = NULL,
	},
	{
		.since = 20,
		.id_wrapper = 21,
		.id_gopanic = 9,
		.id_sigpanic = 18,
		.id_panicwrap = 14,
		.wait_reasons = reasons_0,
		.nwait_reasons = ARRAY_SIZE(reasons_0),
		.goroutine_frames = 32,
		.heap_frames = 32,
		.headroom_is_share = false,
		.prints_last_stacks = true,
		.runtime_path = NULL,
	},
	{
		.since = 21,
		.id_wrapper = 21,
		.id_gopanic = 9,
		.id_sigpanic = 18,
		.id_panicwrap = 14,
		.wait_reasons = reasons_0,
		.nwait_reasons = ARRAY_SIZE(reasons_0),
		.goroutine_frames = 32,
		.heap_frames = 32,
		.headroom_is_share = true,
		.prints_last_stacks = true,
		.runtime_path = NULL,
	},
	{
		.since = 22,
		.id_wrapper = 22,
		.id_gopanic = 10,
		.id_sigpanic = 19,
		.id_panicwrap = 15,
		.wait_reasons = reasons_22,
		.nwait_reasons = ARRAY_SIZE(reasons_22),
		.goroutine_frames = 32,
		.heap_frames = 32,
		.headroom_is_share = true,
		.prints_last_stacks = true,
		.runtime_path = NULL,
	},
	{
		.since = 23,
		.id_wrapper = 22,
		.id_gopanic = 10,
		.id_sigpanic = 19,
		.id_panicwrap = 15,
		.wait_reasons = reasons_22,
		.nwait_reasons = ARRAY_SIZE(reasons_22),
		.goroutine_frames = 128,
		.heap_frames = 1024 + 2,
		.headroom_is_share = true,
		.prints_last_stacks = true,
		.runtime_path = NULL,
	},
	{
		.since = 24,
		.id_wrapper = 22,
		.id_gopanic = 10,
		.id_sigpanic = 19,
		.id_panicwrap = 15,
		.wait_reasons = reasons_24,
		.nwait_reasons = ARRAY_SIZE(reasons_24),
		.goroutine_frames = 128,
		.heap_frames = 1024 + 2,
		.headroom_is_share = true,
		.prints_last_stacks = true,
		.runtime_path = "internal/runtime/",
	},
	{
		.since = 26,
		.id_wrapper = 23,
		.id_gopanic = 10,
		.id_sigpanic = 20,
		.id_panicwrap = 15,
		.wait_reasons = reasons_26,
		.nwait_reasons = ARRAY_SIZE(reasons_26),
		.goroutine_frames = 128,
		.heap_frames = 1024 + 2,
		.headroom_is_share = true,
		.prints_last_stacks = true,
		.runtime_path = "internal/runtime/",
	},
};

const struct go_release *go_release__of(int minor)
{
	size_t i = ARRAY_SIZE(releases);

	while (--i && minor < releases[i].since)
		;
	return &releases[i];
}
