/* SPDX-License-Identifier: GPL-2.0-or-later */
/* walk.c - passes of a step, read again: from the key pass before the first that is wanted. */
#include "history/history_priv.h"

#include "core/util.h"

static int apply(struct pass_state *state, int64_t id, sqlite3_stmt *s)
{
	const void *data = sqlite3_column_blob(s, 2);
	size_t len = sqlite3_column_bytes(s, 2);

	return id == HISTORY_ALL ? pass_code__apply(state, data, len)
				 : pass_code__apply_one(state, id, data, len);
}

int history__walk(struct history *h, int step, int64_t id, int64_t from, int64_t to,
		  history_pass_fn fn, void *arg)
{
	struct pass_state state = {0};
	bool whole = false; /* the state is that of a pass: what was damaged ends with a key */
	sqlite3_stmt *s;
	int64_t key;
	int err = history__value(h, HISTORY_KEY_BEFORE, step, from, from, &key);

	s = err ? NULL : history__stmt(h, HISTORY_PASSES, &err);
	if (!s)
		return err;
	sqlite3_bind_int(s, 1, step);
	sqlite3_bind_int64(s, 2, key);
	sqlite3_bind_int64(s, 3, to);
	while ((err = history__step(h, s)) > 0) {
		int64_t time_ms = sqlite3_column_int64(s, 0);

		if (sqlite3_column_int(s, 1)) {
			state.n = 0;
			whole = true;
		}
		if (!whole)
			continue;
		err = apply(&state, id, s);
		if (err == -EBADMSG) {
			whole = false;
			continue;
		}
		if (!err && time_ms > from)
			err = fn(arg, time_ms, &state);
		if (err)
			break;
	}
	sqlite3_reset(s);
	pass_state__clear(&state);
	return err;
}
