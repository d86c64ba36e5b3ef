# SPDX-License-Identifier: GPL-2.0-or-later
# fish completion for memwatch. Commands and options come from memwatch itself (--help), so this
# file names only what needs values of its own.

# The command, or -p where its options are those of attaching.
function __memwatch_command
	set -l words (commandline -opc)
	if set -q words[2]; and string match -qr '^[a-z]' -- $words[2]
		echo $words[2]
	else
		echo -- -p
	end
end

function __memwatch_is_first
	test (count (commandline -opc)) = 1
end

# The word before is one of these options.
function __memwatch_after
	contains -- (commandline -opc)[-1] $argv
end

function __memwatch_in
	contains -- (__memwatch_command) $argv
end

function __memwatch_commands
	memwatch --help 2>/dev/null | sed -n '/^commands:/,/^$/s/^  \([a-z]*\)  *\(.*\)/\1\t\2/p'
end

# "--option<TAB>what it does", one a line.
function __memwatch_options
	memwatch (__memwatch_command) --help 2>/dev/null |
		string replace -rf '^ {2,6}(?:-\S, )?(--[a-z][a-z-]*)\S*\s*(.*)' '$1\t$2'
end

function __memwatch_pids
	ps -eo pid=,args= 2>/dev/null | string replace -rf '^ *(\d+) (.{1,60}).*' '$1\t$2'
	ps -eo comm= 2>/dev/null | sort | uniq -u | string replace -r '$' '\tby its name'
end

function __memwatch_takes_no_words
	not __memwatch_in run report; and not __memwatch_after -o --output --timeline --peak --peak-rss \
		--record --oom-log --log --config --on-alert --base --diff-base --alert-dir --state-dir
end

complete -c memwatch -n __memwatch_takes_no_words -f
complete -c memwatch -n __memwatch_is_first -a '(__memwatch_commands)'
complete -c memwatch -n 'string match -q -- "-*" (commandline -ct)' -a '(__memwatch_options)'
complete -c memwatch -n '__memwatch_after -p --pid' -x -a '(__memwatch_pids)'
complete -c memwatch -n '__memwatch_after --name' -x -a '(ps -eo comm= | sort -u)'
complete -c memwatch -n '__memwatch_after --sample-index' -x \
	-a 'inuse_space inuse_objects alloc_space alloc_objects'
complete -c memwatch -n '__memwatch_after --sort; and __memwatch_in top' -x \
	-a 'rss virt anon file shmem swap growth peak oom pid user command'
complete -c memwatch -n '__memwatch_after --source' -x -a 'probe kmsg both'
complete -c memwatch -n '__memwatch_after --granularity' -x \
	-a 'functions filefunctions files lines addresses'
complete -c memwatch -n '__memwatch_after --unit; and __memwatch_in report' -x \
	-a 'auto minimum count B kB MB GB TB PB bytes ns us ms s'
complete -c memwatch -n '__memwatch_after --unit; and not __memwatch_in report' -x \
	-a '(systemctl list-units --no-legend --plain 2>/dev/null | string split -f1 " ")'
