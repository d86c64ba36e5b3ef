# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for memwatch. Commands and options come from memwatch itself (--help), so this
# file names only what needs values of its own.

# Offers the lines of stdin that begin with $1. For words that somebody else chose, such as names of
# processes: compgen -W expands what it is given, $(commands) too, and what is offered is inserted as
# it is, so that it has to be quoted.
_memwatch_words()
{
	local line
	while IFS= read -r line; do
		[[ $line && $line == "$1"* ]] && COMPREPLY+=("$(printf %q "$line")")
	done
}

# Processes by number, with their commands as long as several are meant, and names that one has. Where
# TAB enters one whole (menu-complete), its command is a comment, and has nothing of what it could be
# besides.
_memwatch_pids()
{
	local line
	_memwatch_words "$1" < <(ps -eo comm= | sort | uniq -u)
	while IFS= read -r line; do
		[[ $line == "$1"* ]] && COMPREPLY+=("$line")
	done < <(ps -eo pid=,args= | LC_ALL=C sed -E 's/^ *([0-9]+) (.{0,40}).*/\1  # \2/
		s/[^[:alnum:] ._/=:,@%+#-]/?/g')
	if [[ ${#COMPREPLY[@]} == 1 && $COMPREPLY == [0-9]*"  "* ]]; then
		COMPREPLY=("${COMPREPLY[0]%%  *}")
	fi
}

_memwatch()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd="" i
	local names="inuse_space inuse_objects alloc_space alloc_objects"
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		# Everything after "--" belongs to the command that run starts.
		if [[ ${COMP_WORDS[i]} == -- ]]; then
			if declare -F _command_offset >/dev/null; then
				_command_offset $((i + 1))
			else
				COMPREPLY=($(compgen -c -f -- "$cur"))
			fi
			return
		fi
	done
	[[ ${COMP_WORDS[1]} == [a-z]* && $COMP_CWORD -gt 1 ]] && cmd=${COMP_WORDS[1]}

	case $prev in
	-p|--pid)
		_memwatch_pids "$cur"; return ;;
	--sort)
		COMPREPLY=($(compgen -W "rss virt anon file shmem swap growth peak oom pid user command" \
			-- "$cur")); return ;;
	--source)
		COMPREPLY=($(compgen -W "probe kmsg both" -- "$cur")); return ;;
	--granularity)
		COMPREPLY=($(compgen -W "functions filefunctions files lines addresses" -- "$cur")); return ;;
	--sample-index)
		COMPREPLY=($(compgen -W "$names" -- "$cur")); return ;;
	--unit)
		if [[ $cmd == report ]]; then
			COMPREPLY=($(compgen -W "auto minimum count B kB MB GB TB PB bytes ns us ms s" -- "$cur"))
		else
			_memwatch_words "$cur" < <(systemctl list-units --no-legend --plain 2>/dev/null \
				| cut -d' ' -f1)
		fi
		return ;;
	--name)
		_memwatch_words "$cur" < <(ps -eo comm= | sort -u); return ;;
	--cgroup)
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -d -- "$cur")); return ;;
	-o|--output|--timeline|--oom-log|--peak|--peak-rss|--record|--base|--diff-base|--config|--on-alert)
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -f -- "$cur")); return ;;
	--state-dir)
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -d -- "$cur")); return ;;
	-d|--duration|-i|--interval|--sample-bytes|--top|--listen|--max-overhead|--node-fraction|\
	--edge-fraction|--container|--peek|--list|--focus|--ignore)
		return ;;
	esac
	if [[ $cur == -* ]]; then
		local help
		if [[ $cmd ]]; then help=$(memwatch "$cmd" --help 2>/dev/null)
		else help=$(memwatch -p --help 2>/dev/null); fi
		COMPREPLY=($(compgen -W "$(grep -oE -- '(^|[ ,])--?[a-z][a-z-]*' <<<"$help" \
			| tr -d ' ,' | sort -u)" -- "$cur"))
	elif [[ $COMP_CWORD == 1 ]]; then
		COMPREPLY=($(compgen -W "$(memwatch --help 2>/dev/null \
			| sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')" -- "$cur"))
	else
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -f -- "$cur"))
	fi
}
complete -F _memwatch memwatch
