/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/gobin.h"

#include "core/util.h"

#include <elf.h>
#include <string.h>

#define BUILDINFO_MAGIC "\xff Go buildinf:"
#define BUILDINFO_HEADER 32
#define BUILDINFO_INLINE 2 /* flag: strings follow the header */
#define MAX_MODINFO (1u << 20)
#define SCAN_MAX ((size_t)1 << 20)

static bool varint_string(const uint8_t *p, size_t len, size_t *off, const char **ret,
			  size_t *ret_n)
{
	uint64_t n = 0;

	for (int shift = 0; shift < 63; shift += 7) {
		if (*off >= len)
			return false;
		uint8_t b = p[(*off)++];

		n |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			if (n > len - *off)
				return false;
			*ret = (const char *)p + *off;
			*ret_n = n;
			*off += n;
			return true;
		}
	}
	return false;
}

/* The blob may be followed by anything: it carries its own lengths. */
static int parse_buildinfo(const uint8_t *p, size_t len, char version[64], char **ret_modinfo)
{
	size_t off = BUILDINFO_HEADER, nv, nm;
	const char *v, *m;

	if (len < BUILDINFO_HEADER || memcmp(p, BUILDINFO_MAGIC, 14))
		return -ENOENT;
	if (!(p[15] & BUILDINFO_INLINE)) /* before Go 1.18 */
		return -ENOTSUP;
	if (!varint_string(p, len, &off, &v, &nv) || nv == 0 || nv >= 64)
		return -EBADMSG;
	memcpy(version, v, nv);
	version[nv] = 0;
	if (!ret_modinfo)
		return 0;
	if (!varint_string(p, len, &off, &m, &nm) || nm > MAX_MODINFO)
		nm = 0, m = "";
	if (nm >= 33) { /* between two sentinels of 16 bytes */
		m += 16;
		nm -= 32;
	}
	*ret_modinfo = strndup(m, nm);
	return *ret_modinfo ? 0 : -ENOMEM;
}

/* Without sections the blob starts the first writable segment, aligned to 16. */
static int scan_buildinfo(struct elfobj *e, char version[64], char **ret_modinfo)
{
	const struct elfobj_segment *seg;
	size_t n = elfobj__segments(e, &seg);
	cleanup_free uint8_t *buf = malloc(SCAN_MAX);

	if (!buf)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!(seg[i].flags & PF_W))
			continue;
		size_t len = elfobj__read(e, seg[i].vaddr, buf, min_of(seg[i].filesz, SCAN_MAX));

		for (size_t at = 0; at + BUILDINFO_HEADER <= len; at += 16) {
			int err = parse_buildinfo(buf + at, len - at, version, ret_modinfo);

			if (err != -ENOENT)
				return err;
		}
	}
	return -ENOENT;
}

static int read_buildinfo(struct elfobj *e, char version[64], char **ret_modinfo)
{
	const uint8_t *p;
	size_t len;
	int err;

	version[0] = 0;
	if (elfobj__section(e, ".go.buildinfo", &p, &len, NULL))
		return scan_buildinfo(e, version, ret_modinfo);
	err = parse_buildinfo(p, len, version, ret_modinfo);
	return err == -ENOENT ? -EBADMSG : err;
}

bool gobin__is_go(struct elfobj *elf, char version[64])
{
	const uint8_t *p;
	size_t len;

	version[0] = 0;
	if (elfobj__section(elf, ".go.buildinfo", &p, &len, NULL) == 0) {
		parse_buildinfo(p, len, version, NULL);
		return true;
	}
	/* A stripped section table is rare; the scan is kept for it. */
	if (elfobj__section(elf, ".shstrtab", &p, &len, NULL) == 0)
		return false;
	return scan_buildinfo(elf, version, NULL) == 0;
}

/* "go1.19.8" → 19; "go1.23.5 X:…" too; 0 for what is no release ("devel …"). */
static int minor_of(const char *version)
{
	int minor = 0, n = 0;

	if (sscanf(version, "go1.%d%n", &minor, &n) != 1 || minor < 0)
		return 0;
	return minor;
}

/* Header bytes of the formats known, to find the table without its section. */
static bool looks_like_table(const uint8_t *p)
{
	return (p[0] == 0xfb || p[0] == 0xfa || p[0] == 0xf0 || p[0] == 0xf1) && p[1] == 0xff &&
	       p[2] == 0xff && p[3] == 0xff && !p[4] && !p[5] && p[7] == 8;
}

static int scan_table(struct gobin *g, int *ret_err)
{
	const struct elfobj_segment *seg;
	size_t n = elfobj__segments(g->elf, &seg);

	for (size_t i = 0; i < n; i++) {
		size_t len = elfobj__segment_bytes(g->elf, &seg[i]);

		if ((seg[i].flags & PF_X) || len < 72 || len > (size_t)2 << 30)
			continue;
		uint8_t *buf = malloc(len);

		if (!buf)
			return -ENOMEM;
		len = elfobj__read(g->elf, seg[i].vaddr, buf, len);
		for (size_t at = 0; at + 72 <= len; at += 8) {
			if (!looks_like_table(buf + at))
				continue;
			*ret_err = gotab__open(buf + at, len - at, 0, &g->tab);
			if (*ret_err == -ENOTSUP || *ret_err == 0) {
				g->tab_copy = buf;
				g->tab_vaddr = seg[i].vaddr + at;
				return 0;
			}
		}
		free(buf);
	}
	return -ENOENT;
}

static int find_table(struct gobin *g)
{
	static const char *const names[] = {".gopclntab", ".data.rel.ro.gopclntab"};
	const uint8_t *p;
	size_t len;
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (elfobj__section(g->elf, names[i], &p, &len, &g->tab_vaddr) == 0) {
			err = gotab__open(p, len, 0, &g->tab);
			return err == -ENOEXEC ? -EBADMSG : err;
		}
	}
	if (scan_table(g, &err))
		return -EBADMSG;
	return err;
}

int gobin__open(struct elfobj *elf, struct gobin *ret)
{
	struct gotab_func f;
	int err;

	memset(ret, 0, sizeof(*ret));
	ret->elf = elf;
	err = read_buildinfo(elf, ret->version, &ret->modinfo);
	if (err)
		return err;
	ret->minor = minor_of(ret->version);
	if (ret->minor < 18 && ret->minor > 0)
		return -ENOTSUP;
	err = find_table(ret);
	if (err)
		return err;
	/* runtime/cgo is linked in when, and only when, cgo is used. */
	for (uint32_t i = 0; i < ret->tab.nfunc && !ret->cgo; i++) {
		err = gotab__func_at(&ret->tab, i, &f);
		if (err)
			return err;
		ret->cgo = !strncmp(f.name, "runtime/cgo.", 12) || !strncmp(f.name, "_cgo_", 5);
	}
	return 0;
}

void gobin__close(struct gobin *g)
{
	free(g->modinfo);
	free(g->gofunc);
	free(g->tab_copy);
	memset(g, 0, sizeof(*g));
}

int gobin__set_module(struct gobin *g, uint64_t text, uint64_t gofunc_vaddr)
{
	const struct elfobj_segment *seg;
	size_t n = elfobj__segments(g->elf, &seg);

	g->tab.text = text;
	g->tab.gofunc = NULL;
	g->tab.gofunc_len = 0;
	for (size_t i = 0; i < n; i++) {
		size_t len = elfobj__segment_bytes(g->elf, &seg[i]);

		if (gofunc_vaddr < seg[i].vaddr || gofunc_vaddr - seg[i].vaddr >= len)
			continue;
		len -= gofunc_vaddr - seg[i].vaddr;

		/* It ends where the table of functions begins, if both are in one segment. */
		if (g->tab_vaddr > gofunc_vaddr)
			len = min_of(len, (size_t)(g->tab_vaddr - gofunc_vaddr));
		free(g->gofunc);
		g->gofunc = malloc(len);
		if (!g->gofunc)
			return -ENOMEM;
		g->tab.gofunc_len = elfobj__read(g->elf, gofunc_vaddr, g->gofunc, len);
		g->tab.gofunc = g->gofunc;
		return 0;
	}
	return -EBADMSG;
}

uint64_t gobin__func(const struct gobin *g, const char *name)
{
	struct gotab_func f;

	return gotab__func_named(&g->tab, name, &f) == 0 ? f.entry : 0;
}

static int take_symbol(void *arg, const struct elfobj_symbol *sym)
{
	struct gobin_symbols *s = arg;
	const struct {
		const char *name;
		uint64_t *at;
	} want[] = {
		{"mbuckets", &s->mbuckets},
		{"mProfCycle", &s->mprof_cycle},
		{"profMemActiveLock", &s->mem_active_lock},
		{"MemProfileRate", &s->mem_profile_rate},
		{"disableMemoryProfiling", &s->disable_mem_profiling},
		{"memstats", &s->memstats},
		{"gcController", &s->gc_controller},
		{"work", &s->work},
		{"runtimeInitTime", &s->runtime_init_time},
		{"allgs", &s->allgs},
		{"mheap_", &s->mheap},
	};

	if (strncmp(sym->name, "runtime.", 8))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		if (!strcmp(sym->name + 8, want[i].name))
			*want[i].at = sym->vaddr;
	}
	return 0;
}

int gobin__symbols(struct gobin *g, struct gobin_symbols *ret)
{
	struct gobin_symbols s = {0};
	int err = elfobj__each_symbol(g->elf, take_symbol, &s);

	if (err)
		return err;
	if (!s.memstats || !s.gc_controller || !s.work || !s.allgs || !s.mbuckets ||
	    !s.mprof_cycle || !s.mem_profile_rate || !s.runtime_init_time)
		return -ENOENT;
	*ret = s;
	return 0;
}
