#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Writes a C file that holds the given files: see user/core/webfile.h. usage: embed.sh FILE... >OUT.c
set -eu
echo '/* made by tools/web/embed.sh */'
echo '#include "core/webfile.h"'
n=0
rows=''
for file; do
	n=$((n + 1))
	cat <<-END
	__asm__(".pushsection .rodata\n.global webfile_$n\n.hidden webfile_$n\nwebfile_$n:\n"
		".incbin \"$file\"\n.byte 0\n.popsection\n");
	extern const unsigned char webfile_${n}[];
	END
	rows="$rows	{\"${file##*/}\", webfile_$n, $(($(wc -c <"$file")))},
"
done
printf 'const struct webfile webfile_table[] = {\n%s\t{0},\n};\n' "$rows"
