/* SPDX-License-Identifier: GPL-2.0-or-later */
/* privilege.c - see privilege.h. Sets are changed by the system call itself: raising and lowering
 * allocates nothing. */
#include "sys/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/kernel_release.h"

#define CAP(c) (1ULL << CAP_##c)
#ifndef CAP_CHECKPOINT_RESTORE
#define CAP_CHECKPOINT_RESTORE 40
#endif

/* Loading programs and probes; looking into processes; the files that they have mapped, deleted
 * ones too (map_files). */
static const uint64_t observing =
	CAP(BPF) | CAP(PERFMON) | CAP(SYS_PTRACE) | CAP(DAC_READ_SEARCH) | CAP(CHECKPOINT_RESTORE);

static const uint64_t of_kind[PRIVILEGE_KINDS] = {
	[PRIVILEGE_READ] = CAP(DAC_READ_SEARCH),
	[PRIVILEGE_FILES] = CAP(DAC_OVERRIDE),
	[PRIVILEGE_KERNEL_LOG] = CAP(SYSLOG),
	[PRIVILEGE_LIMITS] = CAP(SYS_RESOURCE) | CAP(IPC_LOCK),
	[PRIVILEGE_SIGNAL] = CAP(KILL),
	[PRIVILEGE_NICE] = CAP(SYS_NICE),
	[PRIVILEGE_PAGE_FRAMES] = CAP(SYS_ADMIN),
	[PRIVILEGE_PROBES] = CAP(SYS_ADMIN),
	[PRIVILEGE_MEMORY] = CAP(DAC_OVERRIDE),
	[PRIVILEGE_MEMORY_READ] = CAP(SYS_PTRACE),
	[PRIVILEGE_OPEN] = CAP(SYS_PTRACE) | CAP(DAC_READ_SEARCH) | CAP(CHECKPOINT_RESTORE),
};

static bool kept;
static uint64_t always; /* in force from privilege__keep on */

static int get_sets(uint64_t *ret_effective, uint64_t *ret_permitted)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return -errno;
	*ret_effective = data[0].effective | (uint64_t)data[1].effective << 32;
	*ret_permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

static int set_sets(uint64_t effective, uint64_t permitted)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)effective, .permitted = (uint32_t)permitted},
		{.effective = effective >> 32, .permitted = permitted >> 32}};

	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

/* Calls that change the machine, other processes or what this one is: refused with EPERM. Numbers
 * that a kernel or an architecture does not know match nothing. */
static const int refused[] = {
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(reboot),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(acct),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(open_tree),
	SCMP_SYS(move_mount),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsconfig),
	SCMP_SYS(fsmount),
	SCMP_SYS(fspick),
	SCMP_SYS(mount_setattr),
	SCMP_SYS(setns),
	SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname),
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(clock_adjtime),
	SCMP_SYS(adjtimex),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(quotactl),
	SCMP_SYS(mknod),
	SCMP_SYS(mknodat),
	SCMP_SYS(chown),
	SCMP_SYS(lchown),
	SCMP_SYS(fchown),
	SCMP_SYS(fchownat),
	SCMP_SYS(symlink),
	SCMP_SYS(symlinkat),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(keyctl),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(fanotify_init),
	SCMP_SYS(personality),
	SCMP_SYS(vhangup),
	SCMP_SYS(syslog),
};

/* Refused as well to who does not observe. */
static const int of_observing[] = {SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(socket),
				   SCMP_SYS(connect)};

static int refuse_calls(unsigned kinds)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int err = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; i < ARRAY_SIZE(refused) && !err; i++)
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
	if (!err && !(kinds & PRIVILEGE(EXEC)))
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(execve), 0);
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(execveat), 0);
	for (size_t i = 0; i < ARRAY_SIZE(of_observing) && !err && !(kinds & PRIVILEGE(OBSERVE));
	     i++)
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), of_observing[i], 0);
	if (!err && !(kinds & (PRIVILEGE(OBSERVE) | PRIVILEGE(MEMORY_READ))))
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(process_vm_readv), 0);
#ifndef __SANITIZE_ADDRESS__ /* whose search for leaks traces this process */
	if (!err && !(kinds & PRIVILEGE(TRACE)))
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ptrace), 0);
#endif
	if (!err)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	return err;
}

/* By the release and the setting: what the kernel offers is tried later, with what is kept. */
static bool probes_take_more(void)
{
	cleanup_free char *paranoid = NULL;

	if (util__read_file("/proc/sys/kernel/perf_event_paranoid", 16, &paranoid) > 0 &&
	    atoi(paranoid) > 2)
		return true;
	return kernel_release__before(6, 13);
}

int privilege__keep(unsigned kinds)
{
	uint64_t effective, permitted, wanted, at_once;
	int err = get_sets(&effective, &permitted);

	if (kinds & PRIVILEGE(OBSERVE) && probes_take_more())
		kinds |= PRIVILEGE(PROBES);
	always = at_once = wanted = kinds & PRIVILEGE(OBSERVE) ? observing : 0;
	for (int i = 0; i < PRIVILEGE_KINDS; i++)
		wanted |= kinds & 1u << i ? of_kind[i] : 0;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (!err)
		err = set_sets(permitted & at_once, permitted & wanted);
	if (!err && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		err = -errno;
	if (err)
		return err;
	refuse_calls(kinds); /* a kernel without seccomp leaves the rest in force */
	kept = true;
	return 0;
}

bool privilege__has_any(void)
{
	uint64_t effective, permitted;

	return !geteuid() || get_sets(&effective, &permitted) || permitted;
}

static void change(enum privilege kind, bool on)
{
	uint64_t effective, permitted;

	if (!kept || get_sets(&effective, &permitted))
		return;
	/* what observing holds at all times is not put down by who opens a file besides */
	effective = on ? effective | (of_kind[kind] & permitted)
		       : effective & ~(of_kind[kind] & ~always);
	set_sets(effective, permitted);
}

void privilege__raise(enum privilege kind)
{
	int saved = errno;

	change(kind, true);
	errno = saved;
}

void privilege__lower(enum privilege kind)
{
	int saved = errno;

	change(kind, false);
	errno = saved;
}
