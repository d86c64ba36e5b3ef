// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A small service that leaks. It answers "requests" from several threads: parses them, keeps a
 * cache that is bounded, and a table of sessions that nobody ever clears. The leak is in
 * SessionTable::remember.
 */
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>
#include <unistd.h>

#define KEEP_FRAME __attribute__((noinline))

static std::atomic<bool> stop;

/* Bounded: the oldest answers go. */
class AnswerCache {
	std::mutex lock;
	std::map<std::string, std::vector<char>> answers;
	std::list<std::string> order;

public:
	KEEP_FRAME void store(const std::string &key, size_t size)
	{
		std::lock_guard<std::mutex> hold(lock);

		answers[key] = std::vector<char>(size, 'a');
		order.push_back(key);
		while (order.size() > 2000) {
			answers.erase(order.front());
			order.pop_front();
		}
	}
};

struct Session {
	std::string user;
	char *state;
};

/* Not bounded: what the profile is to show. */
class SessionTable {
	std::mutex lock;
	std::unordered_map<unsigned long, Session> sessions;

public:
	KEEP_FRAME void remember(unsigned long id, const std::string &user)
	{
		char *state = static_cast<char *>(malloc(16 << 10));

		memset(state, 's', 16 << 10);
		std::lock_guard<std::mutex> hold(lock);
		sessions[id] = Session{user, state};
	}
};

static AnswerCache cache;
static SessionTable sessions;

KEEP_FRAME static std::string parse_request(unsigned long n)
{
	std::vector<std::string> fields;

	for (int i = 0; i < 8; i++)
		fields.push_back("field number " + std::to_string(n + i) + " of this request");
	return fields[n % 8];
}

KEEP_FRAME static void handle_request(unsigned long n)
{
	std::string key = parse_request(n);

	cache.store(key, 2000 + n % 3000);
	sessions.remember(n, "user-" + std::to_string(n));
}

static void serve(unsigned long first)
{
	for (unsigned long n = first; !stop; n += 4) {
		handle_request(n);
		std::this_thread::sleep_for(std::chrono::milliseconds(2));
	}
}

int main(int argc, char **argv)
{
	std::vector<std::thread> workers;

	/* Never longer than two minutes, whatever happens to the demonstration. */
	alarm(120);
	for (unsigned long i = 0; i < 4; i++)
		workers.emplace_back(serve, i);
	for (auto &w : workers)
		w.join();
	return 0;
}
