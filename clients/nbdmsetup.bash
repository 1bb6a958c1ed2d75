# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Completion for nbdmsetup: verbs, options, and the names of devices.

# What the server says, one plain word a line: compgen would expand all else.
_nbdmsetup_ask ()
{
  "${COMP_WORDS[0]}" "${control[@]}" "$@" 2>/dev/null |
    LC_ALL=C grep -xE '[0-9A-Za-z#+.:=@_-]+'
}

_nbdmsetup ()
{
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  local verbs='create remove remove_all suspend resume load clear reload
    wipe_table rename message ls info deps status table wait mknodes
    target-version targets version setgeometry dump help'
  local options='--control --help --version --verbose'
  local control=() verb='' i words=''

  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --control) control=(--control "${COMP_WORDS[++i]}") ;;
      -*) ;;
      *) verb=${COMP_WORDS[i]}; break ;;
    esac
  done
  case $verb in
    create) options='--table --notable --uuid --readonly --major --minor' ;;
    load) options='--table --readonly' ;;
    reload) options='--table --readonly --status' ;;
    remove) options='--force --retry --deferred' ;;
    remove_all) options='--force --deferred' ;;
    suspend | resume | wipe_table) options='--noflush --nolockfs' ;;
    rename) options='--setuuid' ;;
    ls) options='--target -o' ;;
    info) options='--columns --options --noheadings --separator
      --nameprefixes --unquoted --inactive' ;;
    deps) options='--inactive -o' ;;
    status) options='--target --noflush --inactive' ;;
    table) options='--target --inactive' ;;
  esac
  case $prev:$verb:$cur in
    --control:*:*) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    *:*:-*) words=$options ;;
    *::*) words=$verbs ;;
    *:create:* | *:ls:* | *:target-version:* | *:remove_all:* | *:targets:* | *:dump:*) ;;
    *) words=$(_nbdmsetup_ask info -c --noheadings -o name) ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  # Tables are in files.
  if [[ $verb =~ ^(create|load|reload)$ && $cur != -* ]]; then
    mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$cur")
  fi
} &&
  complete -F _nbdmsetup nbdmsetup
