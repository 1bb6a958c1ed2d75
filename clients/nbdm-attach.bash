# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Completion for nbdm-attach: options, and the names of what is attached.

_nbdm_attach ()
{
  local cur=${COMP_WORDS[COMP_CWORD]} words=''

  case ${COMP_WORDS[COMP_CWORD - 1]} in
    -c | --control)
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return ;;
  esac

  case " ${COMP_WORDS[*]} ":$cur in
    *:-*) words='--control --detach --foreground --help --interval --list
      --name --readonly --timeout --version' ;;
    *' --detach '* | *' -d '* | *' detach '*)
      words=$(nbdm-attach --list 2>/dev/null | cut -f 1 |
                LC_ALL=C grep -xE '[0-9A-Za-z#+.:=@_-]+') ;;
    *) words='attach detach list' ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
} &&
  complete -F _nbdm_attach nbdm-attach
