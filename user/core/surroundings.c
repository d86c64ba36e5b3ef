/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/surroundings.h"

struct surroundings surroundings;
