/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/unwind_store.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/log.h"
#include "core/keyhash.h"
#include "core/util.h"
#include "elf/unwind_table.h"
#include "probe/bpfobj_priv.h"

#define DEFAULT_BUDGET (256ull << 20)
#define FLAG_INNER_MMAPABLE (BPF_F_INNER_MAP | BPF_F_MMAPABLE)

int unwind_store__init(struct unwind_store *s, struct bpfobj *o, uint64_t budget)
{
	s->o = o;
	s->budget = budget ? budget : DEFAULT_BUDGET;
	s->files_fd = bpf_map__fd(o->skel->maps.unwind_files);
	s->tables_fd = bpf_map__fd(o->skel->maps.unwind_tables);
	s->n_slots = s->free_cnt = bpf_map__max_entries(o->skel->maps.unwind_tables);
	s->free_slots = calloc(s->n_slots, sizeof(*s->free_slots));
	if (!s->free_slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->n_slots; i++)
		s->free_slots[i] = i;
	return 0;
}

static struct table_file **bucket_of(struct unwind_store *s, const struct mw_unwind_key *key)
{
	return &s->buckets[keyhash__bytes(key, sizeof(*key)) % BUCKETS];
}

struct table_file *unwind_store__find(struct unwind_store *s, const struct mw_unwind_key *key)
{
	struct table_file *f = *bucket_of(s, key);

	while (f && memcmp(&f->key, key, sizeof(*key)))
		f = f->next;
	return f;
}

static void free_file(struct table_file *f)
{
	if (f->words)
		munmap((void *)f->words, f->words_len);
	free(f);
}

static void give_slot_back(struct unwind_store *s, uint32_t slot)
{
	s->free_slots[(s->free_head + s->free_cnt++) % s->n_slots] = slot;
}

void unwind_store__drop(struct unwind_store *s, struct table_file *f)
{
	struct table_file **p = bucket_of(s, &f->key);

	bpf_map_delete_elem(s->files_fd, &f->key);
	if (f->state == MW_UNWIND_FILE_TABLE) {
		bpf_map_delete_elem(s->tables_fd, &f->slot);
		give_slot_back(s, f->slot);
		s->st.files--;
		s->st.bytes -= f->bytes;
		s->st.rows -= f->rows;
	} else {
		s->st.no_table--;
	}
	while (*p != f)
		p = &(*p)->next;
	*p = f->next;
	s->n_files--;
	s->n_owned -= f->owner != 0;
	free_file(f);
}

/* The file unused for longest, but none that was used in this tick or the last. */
static struct table_file *eviction_victim(struct unwind_store *s)
{
	uint32_t now = s->o->skel->data->unwind_tick, best_age = 1;
	struct table_file *best = NULL;

	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct table_file *f = s->buckets[i]; f; f = f->next) {
			struct mw_unwind_file v;

			if (f->state != MW_UNWIND_FILE_TABLE || !f->key.ino || f->owner ||
			    bpf_map_lookup_elem(s->files_fd, &f->key, &v))
				continue;
			if (now - v.used > best_age) {
				best_age = now - v.used;
				best = f;
			}
		}
	}
	return best;
}

int unwind_store__make_room(struct unwind_store *s, uint64_t bytes)
{
	while (s->st.bytes + s->pending_bytes + bytes > s->budget || !s->free_cnt ||
	       s->n_files >= MAX_FILES) {
		struct table_file *f = bytes <= s->budget ? eviction_victim(s) : NULL;

		if (!f)
			return -ENOSPC;
		log_debug("unwind table of file %llx:%llu evicted", f->key.dev, f->key.ino);
		unwind_store__drop(s, f);
		s->st.evicted++;
	}
	return 0;
}

uint64_t unwind_store__table_bytes(const struct unwind_table *t)
{
	return (t->n_words * 8 + 4095) & ~4095ULL; /* mappable, so whole pages */
}

/* A kernel array with the table's words, which stay readable in f. Its descriptor or a negative
 * errno. */
static int create_inner(const struct unwind_table *t, struct table_file *f)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = FLAG_INNER_MMAPABLE);
	size_t bytes = t->n_words * 8, n_elems = (t->n_words + MW_UNWIND_ELEM - 1) / MW_UNWIND_ELEM;
	cleanup_fd int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "mw_unwind", 4, 8 * MW_UNWIND_ELEM,
					   n_elems, &opts);
	void *p;

	if (fd < 0)
		return -errno;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	memcpy(p, t->words, bytes);
	mprotect(p, bytes, PROT_READ);
	f->words = p;
	f->words_len = bytes;
	return take_fd(&fd);
}

/* Links a file that the unwinder now knows into the books. */
static void enter_file(struct unwind_store *s, struct table_file *f)
{
	f->next = *bucket_of(s, &f->key);
	*bucket_of(s, &f->key) = f;
	s->n_files++;
	s->n_owned += f->owner != 0;
	if (f->state == MW_UNWIND_FILE_TABLE) {
		s->st.files++;
		s->st.bytes += f->bytes;
		s->st.rows += f->rows;
	} else {
		s->st.no_table++;
	}
}

/* The kernel waits for a grace period after every change of a table of maps, some milliseconds; so
 * they are changed together. */
int unwind_store__flush(struct unwind_store *s)
{
	uint32_t slots[MAX_PENDING], n = 0, done;
	int inner[MAX_PENDING], err = 0;

	for (uint32_t i = 0; i < s->n_pending; i++) {
		if (s->pending[i].inner < 0)
			continue;
		slots[n] = s->pending[i].v.slot;
		inner[n++] = s->pending[i].inner;
	}
	done = n;
	if (n && bpf_map_update_batch(s->tables_fd, slots, inner, &done, NULL)) {
		for (uint32_t i = 0; i < n && !err; i++) /* kernels without batches of these */
			err = bpf_map_update_elem(s->tables_fd, &slots[i], &inner[i], BPF_ANY)
				      ? -errno
				      : 0;
	}
	for (uint32_t i = 0; i < s->n_pending; i++) {
		struct pending_table *p = &s->pending[i];

		if (!err && bpf_map_update_elem(s->files_fd, &p->f->key, &p->v, BPF_ANY))
			err = -errno;
		if (p->inner >= 0)
			close(p->inner);
		if (!err) {
			enter_file(s, p->f);
			log_debug("unwind table of inode %llu: %lu rows", p->f->key.ino,
				  (unsigned long)p->f->rows);
			continue;
		}
		if (p->inner >= 0)
			give_slot_back(s, p->v.slot);
		free_file(p->f);
	}
	s->n_pending = 0;
	s->pending_bytes = 0;
	return err;
}

int unwind_store__publish(struct unwind_store *s, const struct mw_unwind_key *key,
			  const struct unwind_table *t, bool refused)
{
	struct pending_table *p;
	struct table_file *f;
	int err;

	if (s->n_pending == MAX_PENDING) {
		err = unwind_store__flush(s);
		if (err)
			return err;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	p = &s->pending[s->n_pending];
	*p = (struct pending_table){.f = f, .inner = -1};
	p->v.state = t ? MW_UNWIND_FILE_TABLE : MW_UNWIND_FILE_NONE;
	p->v.used = s->o->skel->data->unwind_tick;
	p->v.id = ++s->last_id;
	if (t) {
		const struct mw_unwind_hdr *h = unwind_table__hdr(t);

		p->inner = create_inner(t, f);
		if (p->inner < 0) {
			free_file(f);
			return p->inner;
		}
		p->v.slot = s->free_slots[s->free_head];
		s->free_head = (s->free_head + 1) % s->n_slots;
		s->free_cnt--;
		p->v.n_pages = h->n_pages;
		p->v.first_page = h->first_page;
		p->v.pages = h->pages;
		p->v.rows = h->rows;
		p->v.sides = h->sides;
		f->bytes = unwind_store__table_bytes(t);
		f->rows = h->n_rows;
		s->pending_bytes += f->bytes;
	}
	f->key = *key;
	f->state = p->v.state;
	f->slot = p->v.slot;
	f->refused = refused;
	s->n_pending++;
	return 0;
}

void unwind_store__fini(struct unwind_store *s)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		while (s->buckets[i]) {
			struct table_file *f = s->buckets[i];

			s->buckets[i] = f->next;
			free_file(f);
		}
	}
	free(s->free_slots);
}
