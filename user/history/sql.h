/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sql.h - the statements of the history, prepared when they are first used; its tables: store.c. */
#ifndef HISTORY_SQL_H
#define HISTORY_SQL_H

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
	X(DROP_PASSES, "DELETE FROM pass WHERE step = ?1 AND time_ms < ?2")                        \
	X(DROP_FUTURE, "DELETE FROM pass WHERE time_ms >= ?1")                                     \
	X(ADD_RECORDING, "INSERT INTO recording(process, first_ms, last_ms) VALUES(?1, ?2, ?2)")   \
	X(SEEN_RECORDING, "UPDATE recording SET last_ms = ?2 WHERE id = ?1")                       \
	X(ADD_SNAPSHOT, "INSERT INTO snapshot(recording, time_ms, why, inuse_bytes, alloc_bytes, " \
			"data) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                                    \
	X(ADD_EVENT, "INSERT INTO event(time_ms, kind, pid, comm, json, snapshot) "                \
		     "VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                                             \
	X(DROP_EVENTS, "DELETE FROM event WHERE time_ms < ?1")                                     \
	X(DROP_RECORDINGS, "DELETE FROM recording WHERE last_ms < ?1")                             \
	X(OLDEST_RECORDING, "SELECT id FROM recording ORDER BY last_ms LIMIT 1")                   \
	X(DROP_RECORDING, "DELETE FROM recording WHERE id = ?1")                                   \
	X(DROP_PROCESSES, "DELETE FROM process WHERE last_ms < ?1 AND id NOT IN (SELECT process "  \
			  "FROM recording)")                                                       \
	X(OLDEST, "SELECT min(time_ms) FROM pass")                                                 \
	X(BYTES, "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, "       \
		 "pragma_freelist_count, pragma_page_size")                                        \
	X(VACUUM, "PRAGMA incremental_vacuum(512)")                                                \
	X(PROCESS, "SELECT id, pid, uid, start_ms, comm, command, cgroup, (SELECT count(*) FROM "  \
		   "snapshot s JOIN recording r ON s.recording = r.id WHERE r.process = "          \
		   "process.id) FROM process WHERE id = ?1")                                       \
	X(FIND_PID, "SELECT id FROM process WHERE pid = ?1 AND first_ms <= ?3 AND last_ms >= ?2 "  \
		    "ORDER BY last_ms DESC, start_ms DESC LIMIT 1")                                \
	X(EVENTS, "SELECT id, time_ms, kind, pid, comm, json, snapshot FROM event WHERE time_ms "  \
		  "BETWEEN ?1 AND ?2 AND (?3 IS NULL OR kind = ?3) ORDER BY time_ms, id")          \
	X(EVENT, "SELECT id, time_ms, kind, pid, comm, json, snapshot FROM event WHERE id = ?1")   \
	X(SNAPSHOTS,                                                                               \
	  "SELECT s.id, s.time_ms, r.process, p.pid, p.comm, s.why, s.inuse_bytes, "               \
	  "s.alloc_bytes FROM snapshot s JOIN recording r ON s.recording = r.id JOIN "             \
	  "process p ON r.process = p.id WHERE s.time_ms BETWEEN ?2 AND ?3 AND (?1 = 0 "           \
	  "OR r.process = ?1) ORDER BY s.time_ms, s.id")                                           \
	X(SNAPSHOT_AT, "SELECT s.id FROM snapshot s JOIN recording r ON s.recording = r.id WHERE " \
		       "r.process = ?1 AND s.time_ms <= ?2 ORDER BY s.time_ms DESC, s.id DESC "    \
		       "LIMIT 1")                                                                  \
	X(BLOCKS, "SELECT data FROM snapshot WHERE recording = (SELECT recording FROM snapshot "   \
		  "WHERE id = ?1) AND id <= ?1 ORDER BY id")

#endif
