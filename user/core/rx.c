/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rx.c - see rx.h. */
#include "core/rx.h"

#include "core/util.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#define MATCH_LIMIT 1000000
#define MAX_FAILED 16 /* matches given up, then the expression matches nothing any more */

struct rx {
	char *pattern;
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *context;
	unsigned failed;
};

int rx__new(const char *pattern, struct rx **ret, char *why, size_t why_len)
{
	struct rx *rx = calloc(1, sizeof(*rx));
	PCRE2_SIZE at;
	int code;

	if (!rx)
		return -ENOMEM;
	rx->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
				 PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY, &code,
				 &at, NULL);
	if (!rx->code) {
		if (why)
			pcre2_get_error_message(code, (PCRE2_UCHAR *)why, why_len);
		rx__free(rx);
		return -EINVAL;
	}
	pcre2_jit_compile(rx->code, PCRE2_JIT_COMPLETE); /* without it matching is only slower */
	rx->pattern = strdup(pattern);
	rx->data = pcre2_match_data_create_from_pattern(rx->code, NULL);
	rx->context = pcre2_match_context_create(NULL);
	if (!rx->pattern || !rx->data || !rx->context) {
		rx__free(rx);
		return -ENOMEM;
	}
	pcre2_set_match_limit(rx->context, MATCH_LIMIT);
	pcre2_set_depth_limit(rx->context, MATCH_LIMIT);
	*ret = rx;
	return 0;
}

void rx__free(struct rx *rx)
{
	if (!rx)
		return;
	pcre2_match_context_free(rx->context);
	pcre2_match_data_free(rx->data);
	pcre2_code_free(rx->code);
	free(rx->pattern);
	free(rx);
}

bool rx__match(struct rx *rx, const char *text)
{
	int rc;

	if (rx->failed > MAX_FAILED)
		return false;
	rc = pcre2_match(rx->code, (PCRE2_SPTR)text, strlen(text), 0, 0, rx->data, rx->context);
	rx->failed += rc < 0 && rc != PCRE2_ERROR_NOMATCH;
	return rc >= 0;
}

bool rx__group(struct rx *rx, const char *text, unsigned group, size_t *ret_start, size_t *ret_end)
{
	const PCRE2_SIZE *at;

	if (!rx__match(rx, text) || group >= pcre2_get_ovector_count(rx->data))
		return false;
	at = pcre2_get_ovector_pointer(rx->data) + 2 * group;
	if (at[0] == PCRE2_UNSET)
		return false;
	*ret_start = at[0];
	*ret_end = at[1];
	return true;
}

const char *rx__pattern(const struct rx *rx)
{
	return rx->pattern;
}
