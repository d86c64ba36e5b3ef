/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shortname.h - a demangled C++ or Rust name as people say it: template arguments and parameters
 * left out, "std::vector<…>::push_back". For views of limited width; files carry the whole name.
 */
#ifndef CORE_SHORTNAME_H
#define CORE_SHORTNAME_H

/* Shortens in place. Operators keep their symbols; names without brackets are unchanged. */
void shortname(char *name);

#endif
