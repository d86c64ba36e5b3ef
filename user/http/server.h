/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server.h - the child that speaks HTTP. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

/* Called before main() (user/services.c): where this process was executed as the child, it never
 * returns. */
void server__serve_if_asked(int argc, char **argv);

#endif
