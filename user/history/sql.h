/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sql.h - the statements of the history, prepared when they are first used; its tables: store.c. */
#ifndef HISTORY_SQL_H
#define HISTORY_SQL_H

/*
 * What a row takes in the file, about: row is "", "NEW." or "OLD.". The table room has the sums: of
 * passes by their step, then of these.
 */
#define HISTORY_ROOM_RECORDINGS "4"
#define HISTORY_ROOM_EVENTS "5"
#define HISTORY_ROOM_PROCESSES "6"
#define HISTORY_PASS_ROOM(row) "length(" row "data) + 40"
#define HISTORY_SNAPSHOT_ROOM(row) "length(" row "data) + 80"
#define HISTORY_EVENT_ROOM(row) "length(" row "json) + 80"
#define HISTORY_PROCESS_ROOM(row) \
	"ifnull(length(" row "command), 0) + ifnull(length(" row "cgroup), 0) + 200"

#define HISTORY_WANTED_EVENTS \
	"time_ms BETWEEN ?1 AND ?2 AND (?3 IS NULL OR kind = ?3) AND (?4 = 0 OR pid = ?4)"
#define HISTORY_WANTED_SNAPSHOTS                                       \
	"snapshot s WHERE s.time_ms BETWEEN ?1 AND ?2 AND (?3 = 0 OR " \
	"(SELECT r.process FROM recording r WHERE r.id = s.recording) = ?3)"

/* X(name, SQL) */
#define HISTORY_SQL(X)                                                                             \
	X(BEGIN, "BEGIN IMMEDIATE")                                                                \
	X(COMMIT, "COMMIT")                                                                        \
	X(ROLLBACK, "ROLLBACK")                                                                    \
	X(ADD_PROCESS,                                                                             \
	  "INSERT INTO process(boot, pid, start_ns, start_ms, uid, comm, command, "                \
	  "cgroup, first_ms, last_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9) "             \
	  "ON CONFLICT(boot, pid, start_ns) DO UPDATE SET last_ms = ?9 RETURNING id")              \
	X(SEEN_PROCESS, "UPDATE process SET last_ms = ?2 WHERE id = ?1")                           \
	X(ADD_PASS, "INSERT OR REPLACE INTO pass VALUES(?1, ?2, ?3, ?4)")                          \
	X(LAST_PASS, "SELECT max(time_ms) FROM pass WHERE step = ?1")                              \
	X(FIRST_PASS, "SELECT min(time_ms) FROM pass WHERE step = ?1")                             \
	X(KEY_BEFORE, "SELECT max(time_ms) FROM pass WHERE step = ?1 AND is_key AND "              \
		      "time_ms <= ?2")                                                             \
	X(PASSES, "SELECT time_ms, is_key, data FROM pass WHERE step = ?1 AND "                    \
		  "time_ms BETWEEN ?2 AND ?3 ORDER BY time_ms")                                    \
	/* what gives way, tidy.c: ?1 the step of a pass, ?2 the moment before which it may */     \
	X(OLDEST_PASSES,                                                                           \
	  "SELECT time_ms, " HISTORY_PASS_ROOM("") " FROM pass WHERE step = ?1 "                   \
						   "AND time_ms < ?2 ORDER BY time_ms")            \
	X(OLDEST_RECORDINGS, "SELECT last_ms, (SELECT sum(" HISTORY_SNAPSHOT_ROOM(                 \
				     "") ") FROM snapshot WHERE "                                  \
					 "recording = recording.id) FROM recording WHERE last_ms " \
					 "< ?2 ORDER BY last_ms")                                  \
	X(OLDEST_EVENTS, "SELECT time_ms, " HISTORY_EVENT_ROOM("") " FROM event WHERE time_ms < "  \
								   "?2 ORDER BY time_ms")          \
	X(OLDEST_PROCESSES,                                                                        \
	  "SELECT last_ms, " HISTORY_PROCESS_ROOM(                                                 \
		  "") " FROM process WHERE "                                                       \
		      "last_ms < ?2 AND id NOT IN (SELECT process FROM recording) ORDER BY "       \
		      "last_ms")                                                                   \
	X(DROP_PASSES, "DELETE FROM pass WHERE step = ?1 AND time_ms < ?2")                        \
	X(DROP_RECORDINGS, "DELETE FROM recording WHERE last_ms < ?2")                             \
	X(DROP_EVENTS, "DELETE FROM event WHERE time_ms < ?2")                                     \
	X(DROP_PROCESSES, "DELETE FROM process WHERE last_ms < ?2 AND id NOT IN (SELECT process "  \
			  "FROM recording)")                                                       \
	X(ROOM, "SELECT bytes FROM room WHERE kind = ?1")                                          \
	X(DROP_FUTURE, "DELETE FROM pass WHERE time_ms >= ?1")                                     \
	X(ADD_RECORDING, "INSERT INTO recording(process, first_ms, last_ms) VALUES(?1, ?2, ?2)")   \
	X(SEEN_RECORDING, "UPDATE recording SET last_ms = ?2 WHERE id = ?1")                       \
	X(ADD_SNAPSHOT, "INSERT INTO snapshot(recording, time_ms, why, inuse_bytes, alloc_bytes, " \
			"data) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                                    \
	X(ADD_EVENT, "INSERT INTO event(time_ms, kind, pid, comm, json, snapshot) "                \
		     "VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                                             \
	X(OLDEST, "SELECT min(time_ms) FROM pass")                                                 \
	X(BYTES, "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, "       \
		 "pragma_freelist_count, pragma_page_size")                                        \
	X(VACUUM, "PRAGMA incremental_vacuum(512)")                                                \
	X(PROCESS, "SELECT id, pid, uid, start_ms, comm, command, cgroup, (SELECT count(*) FROM "  \
		   "snapshot s JOIN recording r ON s.recording = r.id WHERE r.process = "          \
		   "process.id) FROM process WHERE id = ?1")                                       \
	X(FIND_PID, "SELECT id FROM process WHERE pid = ?1 AND first_ms <= ?3 AND last_ms >= ?2 "  \
		    "ORDER BY last_ms DESC, start_ms DESC LIMIT 1")                                \
	X(FIND_LIVING, "SELECT id FROM process WHERE boot = ?1 AND pid = ?2 AND start_ns = ?3")    \
	X(EVENTS, "SELECT id, time_ms, kind, pid, comm, CASE WHEN ?5 THEN json END, snapshot "     \
		  "FROM event WHERE " HISTORY_WANTED_EVENTS " ORDER BY time_ms, id LIMIT -1 "      \
		  "OFFSET ?6")                                                                     \
	X(COUNT_EVENTS, "SELECT count(*) FROM event WHERE " HISTORY_WANTED_EVENTS)                 \
	X(EVENT, "SELECT id, time_ms, kind, pid, comm, json, snapshot FROM event WHERE id = ?1")   \
	/* the newest are looked for without what the others are called */                         \
	X(SNAPSHOTS,                                                                               \
	  "SELECT s.id, s.time_ms, r.process, p.pid, p.comm, s.why, s.inuse_bytes, s.alloc_bytes " \
	  "FROM (SELECT s.id FROM " HISTORY_WANTED_SNAPSHOTS " ORDER BY s.time_ms, s.id "          \
	  "LIMIT -1 OFFSET ?4) w CROSS JOIN snapshot s ON s.id = w.id JOIN recording r ON "        \
	  "r.id = s.recording JOIN process p ON p.id = r.process ORDER BY s.time_ms, s.id")        \
	X(LIVED, "SELECT id, pid, comm, command, first_ms, last_ms FROM process WHERE first_ms "   \
		 "<= ?2 AND last_ms >= ?1 ORDER BY last_ms DESC, start_ms DESC")                   \
	X(COUNT_SNAPSHOTS, "SELECT count(*) FROM " HISTORY_WANTED_SNAPSHOTS)                       \
	X(SNAPSHOT_AT, "SELECT s.id FROM snapshot s JOIN recording r ON s.recording = r.id WHERE " \
		       "r.process = ?1 AND s.time_ms <= ?2 ORDER BY s.inuse_bytes IS NULL, "       \
		       "s.time_ms DESC, s.id DESC LIMIT 1")                                        \
	X(BLOCKS, "SELECT data FROM snapshot WHERE recording = (SELECT recording FROM snapshot "   \
		  "WHERE id = ?1) AND id <= ?1 ORDER BY id")

#endif
