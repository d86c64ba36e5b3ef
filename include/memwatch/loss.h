/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * loss.h - every way in which something can be missing from what memwatch tells: a row per cause,
 * written once. The rows make the counters that the BPF programs keep, the names in profiles and
 * .json, the bracketed frames, the last line on stderr, the live view's sum and the table in
 * docs/losses.md (a test compares them); tests/unit/test_loss.c has to reach each of them.
 *
 * X(NAME, unit, told, text, frame, means)
 *   unit   what is counted
 *   told   SUM: part of "events lost"; WARN: a line of its own at the end; NOTE: in profiles only
 *   text   the cause as profiles name it
 *   frame  what stands in for what is missing, so that totals stay whole; "": nothing can
 */
#ifndef MEMWATCH_LOSS_H
#define MEMWATCH_LOSS_H

/* Counted by the BPF programs, with the bytes that are missing. */
#define MW_LOSSES_SIZED(X)                                                                    \
	X(ALLOC_RING, "allocations", SUM, "allocations lost: ring full", "[lost: ring full]", \
	  "the buffer of events was full: memwatch did not get to read it in time")           \
	X(LIVE_FULL, "allocations", SUM, "allocations lost: table of live samples full",      \
	  "[lost: table of live samples full]",                                               \
	  "more sampled blocks live at once than the kernel's table holds: sample more coarsely")

/* Counted by the BPF programs. */
#define MW_LOSSES_COUNTED(X)                                                                    \
	X(FREE_RING, "frees", SUM, "frees lost: ring full", "",                                 \
	  "the block counts as in use until its address is handed out again")                   \
	X(FREE_LIVE, "frees", SUM, "frees lost: table of live samples full", "",                \
	  "a realloc failed and its old block found no place in the table any more")            \
	X(STACK_RING, "stacks", SUM, "stacks lost: ring full", "",                              \
	  "what was allocated there stands under `[no stack]` until the stack is seen again")   \
	X(MAP_RING, "mappings", SUM, "mappings lost: ring full", "",                            \
	  "an anonymous mapping or its end is missing in the class mmap")                       \
	X(PROC_RING, "events", SUM, "process events lost: ring full", "",                       \
	  "a fork, exec or end that was not told")                                              \
	X(CODE_RING, "events", SUM, "notices of new code lost: ring full", "",                  \
	  "a file mapped executable is looked at only at the next occasion: allocations there " \
	  "are missing, stacks through it are cut")                                             \
	X(THREAD_FULL, "allocations", SUM, "allocations lost: table of threads full", "",       \
	  "more threads in allocators than the kernel's table holds")                           \
	X(PENDING, "calls", SUM, "calls whose return was not seen", "",                         \
	  "an allocator was left by a jump (longjmp, an exception), or is still waited for")    \
	X(DEPTH, "calls", SUM, "calls lost: too many open in one thread", "",                   \
	  "signal handlers that allocate inside of each other, on stacks of their own")         \
	X(ADDRESS, "allocations", SUM, "allocations lost: address out of range", "",            \
	  "a block above the 48 bits of an address that memwatch tells apart")                  \
	X(SIZE, "calls", WARN, "calls left out: size beyond the address space", "",             \
	  "a function that has an allocator's name, but another meaning of its arguments")      \
	X(FAULT_RING, "samples", SUM, "page-fault samples lost: ring full", "",                 \
	  "the buffer of events was full, or a sampled page fault's process was gone with it")  \
	X(FAULT_32BIT, "samples", WARN, "page-fault samples left out: a 32-bit program", "",    \
	  "32-bit programs are not supported: nothing of one is in a profile")

/* Counted by what receives the events. */
#define MW_LOSSES_USER(X)                                                                          \
	X(BLOCKS_FULL, "allocations", SUM, "allocations lost: table of live blocks full",          \
	  "[lost: table of live blocks full]", "more live blocks or stacks than memwatch keeps")   \
	X(REGIONS_FULL, "mappings", SUM, "mappings lost: table of mappings full", "",              \
	  "more anonymous mappings in one process than memwatch keeps")                            \
	X(STACK_LATE, "events", NOTE, "events whose stack had not arrived", "",                    \
	  "they stand under `[no stack]`")                                                         \
	X(STACKS_FULL, "events", WARN, "events without a stack: table of stacks full", "",         \
	  "more distinct stacks than the million that memwatch keeps: they stand under "           \
	  "`[no stack]`; `--max-depth` or coarser samples make them fewer")                        \
	X(HISTOGRAMS, "blocks", NOTE, "blocks missing in histograms: no memory", "",               \
	  "sizes and lifetimes are told of fewer blocks than there were")                          \
	X(IMPLIED_FREE, "frees", WARN, "frees lost: block reused", "",                             \
	  "a block appeared where one was live: its free was not told, and counts from then on; "  \
	  "a program's own `operator delete` or free that the compiler built into its callers is " \
	  "not seen")                                                                              \
	X(UNKNOWN_FREE, "frees", NOTE, "frees of blocks from before the attach", "",               \
	  "no event is missing: what was freed was never in the profile")                          \
	X(UNKNOWN_UNFREE, "calls", NOTE, "failed reallocs of blocks that are not known", "",       \
	  "the old block is from before the attach, or its allocation was lost")                   \
	X(FOLLOW_GAP, "children", NOTE, "children not seen between their fork and the attach", "", \
	  "what a followed child did until its probes were in")                                    \
	X(CHILD_GONE, "children", WARN, "children that ended before they could be followed", "",   \
	  "a child was gone when its probes were to be placed")                                    \
	X(CHILD_MISSED, "children", WARN, "children that could not be followed", "",               \
	  "no room, no permission, no file descriptors: a warning has the reason")                 \
	X(SHARER, "processes", NOTE, "processes in the memory of another not seen at first", "",   \
	  "what a process that runs in another one's memory, and is no thread of it, did there "   \
	  "in its first moments; one that vfork made and that calls exec at once does nothing")    \
	X(PROBES_ENDED, "times", WARN, "probes lost: their thread ended", "",                      \
	  "kernels before 6.12 tie probes to one thread of a process: they are moved to "          \
	  "another at its end, and what happens in between is missing, or where a warning says "   \
	  "so all since then")                                                                     \
	X(FAULT_ROOM, "samples", SUM, "page-fault samples lost: no room", "",                      \
	  "more samples or processes than memwatch keeps")                                         \
	X(FAULT_GONE, "samples", SUM, "page-fault samples lost: the process was gone", "",         \
	  "a process had ended before memwatch looked at it")                                      \
	X(FAULT_BUSY, "samples", SUM, "page-fault samples left out: too many new processes", "",   \
	  "the daemon looks into processes that are sampled for the first time for 2 % of a CPU")  \
	X(FAULT_DENIED, "samples", SUM, "page-fault samples lost: not permitted", "",              \
	  "the process may only be looked into with CAP_SYS_PTRACE")

#define MW_LOSSES(X) MW_LOSSES_SIZED(X) MW_LOSSES_COUNTED(X) MW_LOSSES_USER(X)

#define MW_LOSS_ENUM(name, unit, told, text, frame, means) MW_LOSS_##name,
#define MW_LOSS_ONE(name, unit, told, text, frame, means) +1

enum mw_loss {
	MW_LOSSES(MW_LOSS_ENUM) MW_LOSS_COUNT,
	MW_LOSS_SIZED = MW_LOSSES_SIZED(MW_LOSS_ONE),		       /* the first so many */
	MW_LOSS_KERNEL = MW_LOSS_SIZED MW_LOSSES_COUNTED(MW_LOSS_ONE), /* the first so many */
};

/*
 * How a walk up a stack ended; every end that is not the root is counted and shown.
 * X(NAME, text, frame, means); text "": nothing is missing.
 */
#define MW_STACK_ENDINGS(X)                                                                       \
	X(OK, "", "", "reached the root")                                                         \
	X(FIBRE, "", "[fibre]", "reached the root of a fibre")                                    \
	X(TRUNCATED, "stack cut: too deep", "[stack cut: too deep]",                              \
	  "more than 1,024 frames, or `--max-depth`; those nearest to the allocation are kept")   \
	X(FP_END, "", "", "the chain of frame pointers ended, which may be the root")             \
	X(NO_MAPPING, "stack cut: address in no mapping", "[stack cut: address in no mapping]",   \
	  "a return address that is no code: seen while V8 rebuilds a frame (deoptimisation), "   \
	  "about one stack in 10,000 of node")                                                    \
	X(NO_TABLE, "stack cut: no unwind table", "[stack cut: no unwind table]",                 \
	  "the file's table was not there yet, in the first milliseconds after `exec` or "        \
	  "`dlopen`, and the process was gone before the file could be read")                     \
	X(OVER_BUDGET, "stack cut: over the copy budget", "[stack cut: over the copy budget]",    \
	  "the file's table was not there yet, and the copies of stacks from which memwatch "     \
	  "walks "                                                                                \
	  "on later had used up what they may: 64 MB a second of a process, 128 MB of all, half " \
	  "of the buffer of events; or the stack was deeper than the 512 kB that a copy holds")   \
	X(NO_ROW, "stack cut: no unwind rule", "[stack cut: no unwind rule]",                     \
	  "hand-written or generated code in a file, without unwind information and frame "       \
	  "pointer, whose instructions do not tell where its caller is")                          \
	X(UNSUPPORTED, "stack cut: unsupported unwind rule",                                      \
	  "[stack cut: unsupported unwind rule]",                                                 \
	  "a rule of the compiler that the tables cannot express: 3 places in OpenSSL's "         \
	  "assembly, none in glibc, libstdc++, gdb or LLVM")                                      \
	X(READ_FAULT, "stack cut: stack not readable", "[stack cut: stack not readable]",         \
	  "part of the stack is swapped out")                                                     \
	X(VMA_BUSY, "stack cut: mappings locked", "[stack cut: mappings locked]",                 \
	  "the program was changing its mappings at that moment")                                 \
	X(JIT, "stack cut: generated code", "[stack cut: generated code]",                        \
	  "JIT code whose frame pointer led nowhere")                                             \
	X(NO_SCRATCH, "no stack: every buffer in use", "[no stack]",                              \
	  "more walks at once than there are buffers")                                            \
	X(FAULT, "no stack: not readable", "[no stack]", "not even the first frame could be had") \
	X(COPIED, "", "",                                                                         \
	  "a file's table was not there yet: memwatch walked a copy of the stack later, and "     \
	  "counts how that ended")

#define MW_STACK_ENUM(name, text, frame, means) MW_STACK_##name,
enum mw_stack_end { MW_STACK_ENDINGS(MW_STACK_ENUM) MW_STACK_ENDS };

/* Of what is told of OOM kills (bpf/oom.bpf.c): X(NAME, text, means), as the last line tells it
 * behind the number; docs/oom.md has the same rows (tests/unit/test_bpf_oom.c). */
#define MW_OOM_LOSSES(X)                                                                         \
	X(RING, "kills with the ring full",                                                      \
	  "more kills at once than the ring holds: they are told from the kernel's log alone")   \
	X(STASH, "kills whose victim was not noted",                                             \
	  "the table between the signal and the mark took no more: they are told from the "      \
	  "kernel's log alone")                                                                  \
	X(STALL, "stalls without room in a table",                                               \
	  "more threads or groups stalled at once than the tables hold: what was reclaimed and " \
	  "compacted before a kill is told too low")                                             \
	X(SCORE, "writers of an oom_score_adj not noted", "who set the victim's value is not told")

#endif
