/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "sys/chooser.h"
#include "sys/selector.h"

#define ID "4f0c2d7a9b1e4f0c2d7a9b1e4f0c2d7a9b1e4f0c2d7a9b1e4f0c2d7a9b1e4f0c"
#define V2(path) "0::" path "\n"

static bool matches(const char *const *conditions, const struct selector_facts *f)
{
	char why[SELECTOR_WHY];
	struct selector *s;
	bool yes;

	assert_int_equal(selector__new(&s), 0);
	assert_false(selector__match(s, f)); /* nothing is asked for */
	for (; *conditions; conditions++)
		assert_int_equal(selector__parse(s, *conditions, why), 0);
	yes = selector__match(s, f);
	selector__free(s);
	return yes;
}

#define MATCHES(f, ...) matches((const char *const[]){__VA_ARGS__, NULL}, &(f))

static void in_cgroup(const char *condition, const char *cgroups, bool want)
{
	struct selector_facts f = {.cgroups = cgroups};

	if (MATCHES(f, condition) != want)
		fail_msg("%s in %s: not %d", condition, cgroups, want);
}

static void units(void **state)
{
	in_cgroup("unit=nginx.service", V2("/system.slice/nginx.service"), true);
	in_cgroup("unit=nginx", V2("/system.slice/nginx.service"), true);
	in_cgroup("unit=nginx", V2("/system.slice/nginx.service/worker"), true);
	in_cgroup("unit=nginx", V2("/system.slice/nginx-debug.service"), false);
	in_cgroup("unit=nginx", V2("/system.slice/nginx"), false);
	in_cgroup("unit=worker@*.service", V2("/system.slice/system-worker.slice/worker@7.service"),
		  true);
	in_cgroup("unit=user.slice", V2("/user.slice/user-0.slice/session-2.scope"), true);
	in_cgroup("unit=session-2.scope", V2("/user.slice/user-0.slice/session-2.scope"), true);
	in_cgroup("unit=org.example.app", V2("/system.slice/org.example.app.service"), true);
	in_cgroup("unit=cgroup.service", V2("/system.slice/_cgroup.service"), true);
	in_cgroup("unit=a\\x2db.service", V2("/system.slice/a\\x2db.service"), true);
	/* version 1: the unit is in systemd's own hierarchy, other controllers may not have it */
	in_cgroup("unit=nginx", "4:memory:/\n1:name=systemd:/system.slice/nginx.service\n0::/\n",
		  true);
	in_cgroup("unit=nginx", "4:memory:/\n1:name=systemd:/\n", false);
	in_cgroup("unit=nginx", "", false);
	in_cgroup("unit=nginx", "nonsense\n", false);
}

static void groups(void **state)
{
	in_cgroup("cgroup=/a/b", V2("/a/b"), true);
	in_cgroup("cgroup=/a/b/", V2("/a/b/c"), true);
	in_cgroup("cgroup=a/b", V2("/a/b"), true);
	in_cgroup("cgroup=/a/b", V2("/a/bc"), false);
	in_cgroup("cgroup=/a/b", V2("/a"), false);
	in_cgroup("cgroup=/b", V2("/a/b"), false);
	in_cgroup("cgroup=/a/*", V2("/a/b"), true);
	in_cgroup("cgroup=/a/*", V2("/a/b/c"), true);
	in_cgroup("cgroup=/a/*", V2("/a"), false);
	in_cgroup("cgroup=/*/b", V2("/x/b"), true);
	in_cgroup("cgroup=/*/b", V2("/x/y/b"), false);
	in_cgroup("cgroup=/a[1]", V2("/a[1]"), true);
	in_cgroup("cgroup=/", V2("/"), true);
	in_cgroup("cgroup=/", V2("/a/b"), true);
	in_cgroup("cgroup=/a:b", "7:memory,cpu:/a:b/c\n", true);
	in_cgroup("cgroup=/a", "7:memory:/x\n3:cpu:/a\n", true);
}

static void containers(void **state)
{
	in_cgroup("container=4f0c2d7a9b1e", V2("/system.slice/docker-" ID ".scope"), true);
	in_cgroup("container=" ID, V2("/system.slice/docker-" ID ".scope"), true);
	in_cgroup("container=4F0C", V2("/docker/" ID), true);
	in_cgroup("container=docker:4f0c", V2("/docker/" ID), true);
	in_cgroup("container=podman:4f0c", V2("/docker/" ID), false);
	in_cgroup("container=5f0c", V2("/docker/" ID), false);
	in_cgroup("container=4f0c2d7a9b1e", "4:memory:/ecs/cluster/task/" ID "\n", true);
	in_cgroup("container=ecs:4f0c", "4:memory:/ecs/" ID "-1234567890\n", true);
	in_cgroup("container=containerd:4f0c", V2("/default/" ID), true);
	in_cgroup("container=4f0c",
		  V2("/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope"), true);
	in_cgroup("container=web", V2("/lxc.payload.web/init.scope"), true);
	in_cgroup("container=we", V2("/lxc.payload.web/init.scope"), false);
	in_cgroup("container=4f0c", V2("/system.slice/nginx.service"), false);
}

static void names(void **state)
{
	struct selector_facts f = {.comm = "nginx", .exe = "/usr/sbin/nginx-debug", .uid = 33};

	assert_true(MATCHES(f, "name=^nginx$"));
	assert_true(MATCHES(f, "comm=^ngin"));
	assert_true(MATCHES(f, "name=-debug$"));
	assert_false(MATCHES(f, "name=sbin"));
	assert_false(MATCHES(f, "name=NGINX"));
	assert_true(MATCHES(f, "name=(?i)NGINX"));
	assert_true(MATCHES(f, "user=33"));
	assert_false(MATCHES(f, "user=34"));
	assert_false(MATCHES(f, "user=root"));
	f.exe = NULL;
	assert_false(MATCHES(f, "name=-debug$"));
}

/* One kind: any of them; several kinds: all of them. */
static void together(void **state)
{
	struct selector_facts f = {.comm = "worker", .cgroups = V2("/system.slice/a.service")};

	assert_true(MATCHES(f, "unit=a", "unit=b"));
	assert_true(MATCHES(f, "unit=b", "unit=a", "name=work"));
	assert_false(MATCHES(f, "unit=a", "name=master"));
	assert_false(MATCHES(f, "unit=b", "name=work"));
}

static void refused(void **state)
{
	static const char *const bad[] = {"unit=",	   "unit=/a/b",	   "name=(",
					  "container=a/b", "container=x:", "user=nobody-has-this",
					  "user=-1",	   "pid=7",	   "nginx",
					  "=nginx",	   "cgroup="};
	char why[SELECTOR_WHY], *text;
	struct selector *s;

	assert_int_equal(selector__new(&s), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(selector__parse(s, bad[i], why), -EINVAL);
		assert_true(*why);
	}
	assert_true(selector__empty(s));
	assert_true(selector__empty(NULL));
	assert_int_equal(selector__parse(s, "unit=nginx", why), 0);
	assert_int_equal(selector__parse(s, "container=docker:4f0c", why), 0);
	assert_false(selector__empty(s));
	assert_true(selector__uses(s, SELECTOR_UNIT));
	assert_false(selector__uses(s, SELECTOR_NAME));
	text = selector__text(s);
	assert_string_equal(text, "unit nginx.service, container docker:4f0c");
	free(text);
	selector__free(s);
	selector__free(NULL);
}

static int remember(void *arg, pid_t pid)
{
	*(pid_t *)arg = pid;
	return 1;
}

/* The processes of this machine: this program and its children are never meant, others are. */
static void looks(void **state)
{
	char why[SELECTOR_WHY];
	struct selector *s;
	pid_t kid = fork(), seen = 0;

	if (!kid) {
		pause();
		_exit(0);
	}
	assert_int_equal(selector__new(&s), 0);
	assert_int_equal(selector__parse(s, "name=^test_selector$", why), 0);
	assert_false(chooser__means(s, getpid()));
	assert_false(chooser__means(s, kid));
	assert_int_equal(chooser__each(s, remember, &seen), 0);
	selector__free(s);
	assert_int_equal(selector__new(&s), 0);
	assert_int_equal(selector__parse(s, "name=.", why), 0);
	assert_true(chooser__means(s, getppid()));
	assert_int_equal(chooser__each(s, remember, &seen), 1);
	assert_true(seen > 0);
	selector__free(s);
	kill(kid, SIGKILL);
	waitpid(kid, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units), cmocka_unit_test(groups),   cmocka_unit_test(containers),
		cmocka_unit_test(names), cmocka_unit_test(together), cmocka_unit_test(refused),
		cmocka_unit_test(looks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
