# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for memwatch. Commands and options come from memwatch itself (--help), so this
# file names only what needs values of its own.

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
		COMPREPLY=($(compgen -W "$(ps -eo pid=)" -- "$cur")); return ;;
	--sample-index)
		COMPREPLY=($(compgen -W "$names" -- "$cur")); return ;;
	--unit)
		COMPREPLY=($(compgen -W "B kB MB GB auto" -- "$cur")); return ;;
	-o|--output|--timeline|--oom-log|--peak|--peak-rss|--record|--base|--diff-base|--config|--on-alert)
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -f -- "$cur")); return ;;
	--state-dir)
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -d -- "$cur")); return ;;
	-d|--duration|-i|--interval|--sample-bytes|--top|--listen|--max-overhead|--node-fraction|\
	--edge-fraction|--peek|--list|--focus|--ignore)
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
