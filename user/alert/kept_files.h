/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kept_files.h - how many files of alerts and kills stay in their directory. */
#ifndef ALERT_KEPT_FILES_H
#define ALERT_KEPT_FILES_H

#include <stddef.h>

/*
 * Of DIR/memwatch-WHAT-TIME.pb.gz and .csv, those of earlier runs too, the oldest go until there is
 * room for one more of `keep` (0: all stay). In `what`, '#' is any number. What cannot be removed
 * is logged.
 */
void kept_files__make_room(const char *dir, const char *what, size_t keep);

#endif
