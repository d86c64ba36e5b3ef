/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history/judged.h"

#include <errno.h>
#include <stdlib.h>

#include "model/trend.h"
#include "report/recording.h"

int judged__process(struct history *h, int64_t process, int64_t unix_ms, size_t top, bool json,
		    FILE *f)
{
	struct recording_window w = {.leak_after_s = TREND_LEAK_AFTER_S};
	const char *why = "";
	uint8_t *bytes = NULL;
	size_t len = 0;
	int64_t id;
	int err = history__snapshot_at(h, process, unix_ms, &id);

	if (!err)
		err = history__read_recording(h, id, &bytes, &len);
	if (!err && json)
		err = recording__verdicts_json(f, bytes, len, top);
	else if (!err)
		err = recording__verdicts(f, bytes, len, &w, top, &why);
	free(bytes);
	if (err != -ENOENT && err != -EBADMSG)
		return err;
	if (json)
		fputs("[]", f);
	else if (err == -EBADMSG)
		fputs("its profiles are damaged\n", f);
	return 0;
}
