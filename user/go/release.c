/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/release.h"

#include "core/util.h"

/* clang-format off */
static const char *const reasons_19[] = {
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

#define REASONS(list) .wait_reasons = list, .nwait_reasons = ARRAY_SIZE(list)

/* Each row is whole; what changed is said. */
static const struct go_release releases[] = {
	{.minor = 18,
	 .profile_frames = 32,
	 .goroutine_frames = 32,
	 .prints_largest_scan = true,
	 REASONS(reasons_19)},
	/* the scan that is printed */
	{.minor = 20, .profile_frames = 32, .goroutine_frames = 32, REASONS(reasons_19)},
	/* the fixed MiB of headroom became a share */
	{.minor = 21,
	 .profile_frames = 32,
	 .goroutine_frames = 32,
	 .headroom_percent = 3,
	 REASONS(reasons_19)},
	/* reasons to wait */
	{.minor = 22,
	 .profile_frames = 32,
	 .goroutine_frames = 32,
	 .headroom_percent = 3,
	 REASONS(reasons_22)},
	/* deeper stacks; two more of the profile's for what is left out of them */
	{.minor = 23,
	 .profile_frames = 1024 + 2,
	 .goroutine_frames = 128,
	 .headroom_percent = 3,
	 REASONS(reasons_22)},
	/* parts of the runtime moved; reasons to wait */
	{.minor = 24,
	 .profile_frames = 1024 + 2,
	 .goroutine_frames = 128,
	 .headroom_percent = 3,
	 .has_internal_runtime = true,
	 REASONS(reasons_24)},
	/* reasons to wait */
	{.minor = 26,
	 .profile_frames = 1024 + 2,
	 .goroutine_frames = 128,
	 .headroom_percent = 3,
	 .has_internal_runtime = true,
	 REASONS(reasons_26)},
};

const struct go_release *go_release__of(int minor)
{
	size_t i = ARRAY_SIZE(releases) - 1;

	while (i && releases[i].minor > minor)
		i--;
	return &releases[i];
}
