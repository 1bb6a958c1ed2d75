#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What has to be named in several places is named in all of them.
set -u
cd "${top_srcdir:-.}" || exit 99

status=0
complain () { echo "$*" >&2; status=1; }

# Every target: registered, built, described.
while IFS=: read -r file symbol; do
  [ "$file" = targets/registry.c ] && continue
  grep -qw "&$symbol" targets/registry.c ||
    complain "$file: $symbol is not in targets/registry.c"
  grep -qw "${file#targets/}" targets/Makefile.am ||
    complain "$file: not in targets/Makefile.am"
  name=$(sed -n "/struct target_type $symbol = {/,/^}/s/.*\.name = \"\(.*\)\".*/\1/p" \
             "$file")
  [ -n "$name" ] || complain "$file: cannot read the name of $symbol"
  grep -qE "^=head[12] $name( |\$)" man/nbdm-targets.pod ||
    complain "$file: '$name' has no section in man/nbdm-targets.pod"
done < <(grep -roE --include='*.c' '^(const )?struct target_type \w+ = \{' \
              targets | sed -E 's/(const )?struct target_type (\w+) = \{/\2/')

# Every verb of nbdmsetup: described.
verbs=$(sed -n 's/^  { "\([a-z_-]*\)",.*/\1/p' clients/nbdmsetup.c | sort -u)
[ -n "$verbs" ] || complain "found no verbs in clients/nbdmsetup.c"
for verb in $verbs; do
  grep -qE "^=(head[23]|item) .*\b$verb\b" man/nbdmsetup.pod ||
    complain "nbdmsetup $verb is not in man/nbdmsetup.pod"
done

# Every parameter of the plugin: described, and in its help.
for key in $(sed -n 's/.*strcmp (key, "\([a-z-]*\)").*/\1/p' server/plugin.c)
do
  grep -qE "^=item .*B<$key=" man/nbdkit-dm-plugin.pod ||
    complain "parameter $key= is not in man/nbdkit-dm-plugin.pod"
  grep -qE "\"\[?$key=\]?" server/plugin.c ||
    complain "parameter $key= is not in the plugin's help"
done

# Every document, example, manual page and test: in the build.
for file in docs/* examples/*.yaml; do
  grep -qw "$file" Makefile.am || complain "$file is not in Makefile.am"
done
for pod in man/*.pod; do
  grep -qw "${pod#man/}" man/Makefile.am ||
    complain "$pod is not in man/Makefile.am"
done
for test in tests/*/test-*; do
  case $test in
    *.c) name=$(basename "$test" .c) ;;
    *.sh | *.py) name=$(basename "$test") ;;
    *) continue ;;
  esac
  grep -qE "(^|[[:space:]])$name([[:space:]]|\$)" \
       "$(dirname "$test")/Makefile.am" ||
    complain "$test is not in $(dirname "$test")/Makefile.am"
done
exit $status
