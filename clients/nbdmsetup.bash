# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Completion for nbdmsetup: verbs, options, and the names of devices.

# What the server says, one plain word a line: compgen would expand all else.
_nbdmsetup_ask ()
{
  "${COMP_WORDS[0]}" "${control[@]}" "$@" 2>/dev/null |
    LC_ALL=C grep -xE '[0-9A-Za-z#+.:=@_-]+'
}

_nbdmsetup_types ()
{
  "${COMP_WORDS[0]}" "${control[@]}" targets 2>/dev/null |
    LC_ALL=C grep -oE '^[0-9a-z_-]+'
}

_nbdmsetup ()
{
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  local verbs='create remove remove_all suspend resume load clear reload
    wipe_table rename message ls info deps status table measure wait mknodes
    target-version targets version setgeometry dump snapshot extents stat metrics help'
  local options='--control --help --version --verbose'
  # One device, and several of them.
  local one='--verbose --uuid --major --minor' more
  more="$one --select"
  local control=() verb='' i words=''

  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --control) control=(--control "${COMP_WORDS[++i]}") ;;
      -*) ;;
      *) verb=${COMP_WORDS[i]}; break ;;
    esac
  done
  case $verb in
    create) options="$one --table --notable --readonly --concise" ;;
    load) options="$one --table --readonly" ;;
    reload) options="$one --table --readonly --status" ;;
    remove) options="$more --force --retry --deferred" ;;
    remove_all) options='--force --deferred' ;;
    clear | mknodes) options=$more ;;
    suspend | resume) options="$more --noflush --nolockfs --group" ;;
    wipe_table) options="$more --noflush --nolockfs" ;;
    snapshot) options='--cow --size --remove --merge' ;;
    rename) options='--setuuid' ;;
    message) options=$one ;;
    wait) options="$one --noflush --inactive" ;;
    ls) options='--target --exec --tree --select --json --options' ;;
    info) options="$more --columns --options --noheadings --separator
      --nameprefixes --unquoted --rows --unbuffered --sort --count
      --interval --inactive --json" ;;
    deps) options="$more --inactive --json --options" ;;
    status) options="$more --target --exec --noflush --inactive --json" ;;
    table) options="$more --target --exec --inactive --concise --showkeys
      --json" ;;
    extents) options="$more --json" ;;
    stat) options="$more --options --sort --interval --count --noheadings
      --separator --json" ;;
    measure) options="$more --inactive --target --json" ;;
    targets | target-version | version) options='--json' ;;
  esac
  case $prev:$verb:$cur in
    -u:*:* | --uuid:*:*)
      words=$(_nbdmsetup_ask info -c --noheadings -o uuid) ;;
    -o:ls:* | -o:deps:* | --options:ls:* | --options:deps:*)
      words='devno devname blkdevname'
      [[ " ${COMP_WORDS[*]} " != *" --tree "* ]] ||
        words='active ascii blkdevname compact device inverted nodevice notrunc
          open rw utf uuid vt100' ;;
    -o:info:* | -O:info:* | --options:info:* | --sort:info:*)
      words='attr blkdevname blkdevs_used device_count device_ref_count devno
        devnos_used devnos_using_dev devs_used events major minor name
        names_using_dev open readonly segments suspended tables_loaded uuid' ;;
    -o:stat:* | -O:stat:* | --options:stat:* | --sort:stat:*)
      words='deferred deferred_per_sec discard_kib_per_sec discards_per_sec
        errors flushes_per_sec in_flight name read_kib_per_sec reads_per_sec
        size suspends swaps write_kib_per_sec writes_per_sec' ;;
    --target:*:*) words=$(_nbdmsetup_types) ;;
    --control:*:* | --cow:*:*)
      mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    *:*:-*) words=$options ;;
    *::*) words=$verbs ;;
    *:target-version:*) words=$(_nbdmsetup_types) ;;
    *:create:* | *:ls:* | *:remove_all:* | *:targets:*) ;;
    *:dump:* | *:metrics:* | *:help:* | *:version:*) ;;
    *) words=$(_nbdmsetup_ask info -c --noheadings -o name) ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  # Tables are in files.
  if [[ $verb =~ ^(create|load|reload)$ && $cur != -* ]]; then
    mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$cur")
  fi
} &&
  complete -F _nbdmsetup nbdmsetup
