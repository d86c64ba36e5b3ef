/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * timeline_file.h - timelines of one or several processes as CSV and JSON, and to a file whose
 * name's ending picks the format (.csv, .json, .svg, .html).
 *
 * CSV: header `time_unix_ms,pid,virt_bytes,rss_bytes,rss_anon_bytes,rss_file_bytes,
 * rss_shmem_bytes,swap_bytes,inuse_bytes,alloc_bytes`, rows ascending in time over all processes,
 * unknown values empty; marks are in the other formats only.
 * JSON: {"schema":"memwatch.timeline/1","processes":[{"pid","name","rows":[{the CSV columns but
 * pid; null where unknown}],"marks":[{"time_unix_ms","text"}]}]}.
 */
#ifndef FORMAT_TIMELINE_FILE_H
#define FORMAT_TIMELINE_FILE_H

#include <stdio.h>

#include "model/timeline.h"

/* All return 0 or a negative errno (-EIO: the stream failed). */
int timeline_file__write_csv(FILE *f, const struct timeline *const *t, size_t n);
int timeline_file__write_json(FILE *f, const struct timeline *const *t, size_t n);

/* Those that timeline_file__save knows. */
#define TIMELINE_FILE_ENDINGS ".csv .json .svg .html"

/* Writes beside the file and renames, so that readers never see half of it. -EINVAL: the ending. */
int timeline_file__save(const char *path, const struct timeline *const *t, size_t n);

#endif
