/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server_priv.h - the halves of the child: server.c starts workers, worker.c moves messages and
 * connections, exchange.c is one request and its answer. */
#ifndef HTTP_SERVER_PRIV_H
#define HTTP_SERVER_PRIV_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "http/http_priv.h"

#define WORKER_CONTROL 0
#define WORKER_LISTENER 3

enum exchange_state {
	EXCHANGE_HEAD,	   /* its head arrives */
	EXCHANGE_BODY,	   /* its body arrives */
	EXCHANGE_WAITING,  /* for the answer; the connection is suspended */
	EXCHANGE_ANSWERED, /* the answer has come */
	EXCHANGE_SENDING,
	EXCHANGE_STREAMING,
	EXCHANGE_LOST, /* the client is gone, or has taken too long */
};

struct exchange_event {
	int fd;
	uint64_t len, done;
};

/* One request. Owned by its connection; in the worker's list from its first byte to its end. */
struct exchange {
	struct exchange *next;
	struct worker *worker;
	struct MHD_Connection *connection;
	enum exchange_state state;
	uint64_t ticket;
	char *uri; /* as it came */
	char *body;
	size_t body_len;
	struct http_message reply;
	int reply_fd;
	struct exchange_event events[HTTP_EVENTS_AHEAD + 1];
	unsigned nevents;
	uint64_t since_ns, told_ns; /* in this state; of streams, when something was sent last */
	bool suspended, ended, beat;
};

/* A connection, to see those that come to nothing. */
struct client {
	struct client *next;
	int fd;
	uint64_t since_ns; /* without a request */
	bool busy;
};

struct worker {
	struct MHD_Daemon *mhd;
	const struct access_rules *rules;
	struct exchange *exchanges;
	struct client *clients;
	uint64_t last_ticket;
};

/* How MHD calls the exchange. */
void *exchange__new(void *worker, const char *uri, struct MHD_Connection *c);
enum MHD_Result exchange__handle(void *worker, struct MHD_Connection *c, const char *url,
				 const char *method, const char *version, const char *data,
				 size_t *data_len, void **context);
void exchange__free(void *worker, struct MHD_Connection *c, void **context,
		    enum MHD_RequestTerminationCode why);

/* What this process hears of it. The descriptors are the exchange's from now on. */
void exchange__on_reply(struct exchange *x, const struct http_message *m, int fd);
void exchange__on_event(struct exchange *x, const struct http_message *m, int fd);
void exchange__on_end(struct exchange *x);
/* Once a second: gone clients, answers that take too long, streams to be kept alive. */
void exchange__tick(struct exchange *x, uint64_t now);

/* exchange_answer.c: refuses a request; gives the cookie and leads to the address without token. */
enum MHD_Result exchange__refuse(struct MHD_Connection *c, unsigned status, const char *text);
enum MHD_Result exchange__redirect(struct MHD_Connection *c, const struct access_rules *r,
				   const char *uri);
/* Queues the answer that has come, whole or a stream. */
enum MHD_Result exchange__respond(struct exchange *x);

/* Sends a message without body to the watching process; ends the worker if there is none. */
void worker__tell(enum http_message_kind kind, uint64_t ticket);
/* Until its process ends. */
void worker__run(const struct access_rules *rules);

#endif
