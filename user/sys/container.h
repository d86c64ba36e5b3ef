/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * container.h - which container a cgroup belongs to, by its path alone: Docker, containerd (CRI,
 * nerdctl, Kubernetes with systemd or cgroupfs), CRI-O, podman, Amazon ECS, Garden, LXC,
 * systemd-nspawn. Pure.
 */
#ifndef SYS_CONTAINER_H
#define SYS_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>

#define CONTAINER_ID 128 /* longest identifier or name kept, with its NUL */

struct container {
	const char *kind;      /* "docker", "cri", "containerd", "crio", "podman", "pod", "ecs",
				  "garden",      "lxc", "nspawn", "container" */
	char id[CONTAINER_ID]; /* whole: 64 hexadecimal digits, or a name */
};

/* False: the path is no container's. */
bool container__of(const char *cgroup, struct container *ret);

#endif
