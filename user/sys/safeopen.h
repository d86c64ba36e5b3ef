/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * safeopen.h - opens for reading what somebody else may have put there.
 *
 * Opening has effects: it wakes the writer of a FIFO, rewinds a tape, arms a watchdog, throws away
 * what the kernel has traced. So the file is looked at first through a descriptor that opens
 * nothing (O_PATH), and only if it is a regular file of a file system that keeps files, and of an
 * owner who is allowed for, this very file is opened, by that descriptor and no longer by its name.
 */
#ifndef SYS_SAFEOPEN_H
#define SYS_SAFEOPEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct safeopen_owner { /* who may own the file; NULL stands for anybody */
	uid_t uid;	/* the owner that is asked for */
	/* A file of root's too, if its mode lets that owner read it: what he may read anyway gives
	 * nothing away that he planted by mounting it there. */
	int or_readable_root;
};

/*
 * Opens `path`; below `rootfd` if that is not negative, symbolic links resolved inside it and none
 * of the kernel's magic ones followed. nofollow: nor any at the end of the path. st may be NULL.
 * A descriptor (O_NONBLOCK: no effect on regular files) or -EINVAL: not a regular file, or one of
 * the kernel's own (proc, sysfs, tracefs and the like); -EPERM: another owner's; other negative
 * errno. whose: the process on whose behalf, which pays for it (sys/box_accounts.h); 0: nobody's,
 * or that whose directory in /proc the path leads through.
 */
int safeopen__below(int rootfd, const char *path, int nofollow, const struct safeopen_owner *owner,
		    pid_t whose, struct stat *st);
/* The same from the process's own root, following links, any owner. */
int safeopen__file(const char *path, struct stat *st);
/* What stat() says of a path, whoever has to be waited for. 0 or -errno. */
int safeopen__stat(const char *path, struct stat *st);

/*
 * A file system may be a process of another user's (FUSE), which answers when it likes: opening,
 * asking and even closing may wait for it for ever. So main processes have another one open for
 * them (sys/opener.h), and files of such file systems come back as a descriptor that has only seen
 * them (O_PATH). It can be handed to helpers (safeopen__send), who get one that reads, and nothing
 * else: reading by it fails (-EBADF), and functions of its file are not probed, for which the
 * kernel would read it.
 */
bool safeopen__only_seen(int fd);
/*
 * Does another user than root and this one provide the file system that `fd` (O_PATH is enough)
 * lies in? Owners and modes there are what he says, and what is written there he reads. `st` is the
 * file's. Whoever provides it may be waited for.
 */
bool safeopen__is_anothers(int fd, const struct stat *st);
/* fstat() of a descriptor of any of these functions, that waits for nobody. 0 or -errno. */
int safeopen__fstat(int fd, struct stat *st);
/* fdmsg__send, of descriptors that may only have seen their file. 0; -ETIMEDOUT: it cannot be
 * opened, nobody answers; other -errno. */
int safeopen__send(int sock, const void *head, size_t head_len, const void *data, size_t len,
		   const int *fds, size_t nfds);

/* For who opens for others: as safeopen__below, or a descriptor that has only seen the file. That
 * it is whenever *is_overlay: what lies below decides, which statfs() does not tell. */
int safeopen__seen(int rootfd, const char *path, int nofollow, const struct safeopen_owner *owner,
		   struct stat *st, bool *is_overlay);
/* Opens for reading what a descriptor has only seen. A descriptor or -errno. */
int safeopen__reopen(int look);

struct safeopen_other { /* does all this in place of this process */
	int (*open)(int rootfd, const char *path, int nofollow, const struct safeopen_owner *owner,
		    pid_t whose, struct stat *st);
	int (*stat)(const char *path, struct stat *st);
	int (*send)(int sock, const void *head, size_t head_len, const void *data, size_t len,
		    const int *fds, size_t nfds);
};
/* Borrowed for ever; NULL: nobody does. */
void safeopen__hand_over(const struct safeopen_other *other);

/*
 * Descriptor number `fd` of another process, which says that it is a memory file that it has just
 * made (memfd_create): opened for reading and writing if it is one, empty and nowhere in a file
 * system. -EPERM: it is something else, which that process would have written to.
 */
int safeopen__memfd(int pid, uint64_t fd);

#endif
