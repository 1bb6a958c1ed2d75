# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Completion for nbdm-attach: options, and the names of what is attached.

_nbdm_attach ()
{
  local cur=${COMP_WORDS[COMP_CWORD]} words=''

  case " ${COMP_WORDS[*]} ":$cur in
    *:-*) words='--detach --foreground --help --interval --list --name
      --readonly --timeout' ;;
    *' --detach '* | *' -d '*)
      words=$(nbdm-attach --list 2>/dev/null | cut -f 1 |
                LC_ALL=C grep -xE '[0-9A-Za-z#+.:=@_-]+') ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
} &&
  complete -F _nbdm_attach nbdm-attach
