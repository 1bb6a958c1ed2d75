/* SPDX-License-Identifier: BSD-3-Clause */
/* Which NBD clients may use an export. */

#include "config/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"

struct in6_addr
access_map_ipv4 (struct in_addr address)
{
  struct in6_addr mapped = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

  memcpy (&mapped.s6_addr[12], &address, 4);
  return mapped;
}

void
access_free_rules (struct access_rule rules[], size_t n)
{
  size_t i;

  for (i = 0; i < n; i++) {
    free (rules[i].tls_dn);
    free (rules[i].tls_issuer_dn);
  }
  free (rules);
}

static bool
access_copy_name (char **to, const char *from)
{
  *to = from ? strdup (from) : NULL;
  return *to || !from;
}

struct access_rule *
access_copy_rules (const struct access_rule rules[], size_t n)
{
  struct access_rule *copy = calloc (n + 1, sizeof *copy);
  size_t i;

  for (i = 0; copy && i < n; i++) {
    copy[i] = rules[i];
    /* Both in any case: the originals' names are not the copy's to free. */
    if (!access_copy_name (&copy[i].tls_dn, rules[i].tls_dn) |
        !access_copy_name (&copy[i].tls_issuer_dn, rules[i].tls_issuer_dn)) {
      access_free_rules (copy, i + 1);
      return NULL;
    }
  }
  return copy;
}

/* ------------------------------------------------------------------ */

/* True if the first bits of both are the same. */
static bool
access_same_net (const struct in6_addr *a, const struct in6_addr *b,
                 unsigned bits)
{
  unsigned bytes = bits / 8, rest = bits % 8;
  uint8_t mask = 0xff00 >> rest;

  if (memcmp (a, b, bytes) != 0)
    return false;
  return rest == 0 ||
    ((a->s6_addr[bytes] ^ b->s6_addr[bytes]) & mask) == 0;
}

/* Only the last * ever has to take on more: what stands before it was found at
 * the first place there is, and a later one would leave it no more room.
 */
static bool
access_matches_name (const char *pattern, const char *name)
{
  const char *star = NULL, *rest = NULL;

  if (pattern == NULL)
    return true;
  if (name == NULL || *name == '\0')
    return false;
  while (*name)
    if (*pattern == '*') {
      star = pattern++;
      rest = name;
    }
    else if (*pattern == *name) {
      pattern++;
      name++;
    }
    else if (star && strchr (",+\\", *rest) == NULL) {
      pattern = star + 1;
      name = ++rest;
    }
    else
      return false;
  return pattern[strspn (pattern, "*")] == '\0';
}

static bool
access_matches (const struct access_rule *rule,
                const struct access_peer *peer)
{
  if (rule->tls != ACCESS_TLS_ANY && (rule->tls == ACCESS_TLS_YES) != peer->tls)
    return false;
  if (rule->uid != ACCESS_ANY && !(peer->is_local && peer->uid == rule->uid))
    return false;
  if (rule->gid != ACCESS_ANY && !(peer->is_local && peer->gid == rule->gid))
    return false;
  if (!access_matches_name (rule->tls_dn, peer->tls_dn) ||
      !access_matches_name (rule->tls_issuer_dn, peer->tls_issuer_dn))
    return false;
  return rule->prefix == ACCESS_ANY ||
    (peer->has_address && access_same_net (&rule->net, &peer->address,
                                           rule->prefix));
}

bool
access_admits (const struct access_rule *rules, size_t n,
               const struct access_peer *peer)
{
  size_t i;

  for (i = 0; i < n; i++)
    if (access_matches (&rules[i], peer))
      return true;
  return false;
}

/* ------------------------------------------------------------------ */

/* The bits of the whole address, or 0 if it is none. */
static unsigned
access_parse_address (const char *text, struct in6_addr *address)
{
  struct in_addr ipv4;

  if (inet_pton (AF_INET6, text, address) == 1)
    return 128;
  if (inet_pton (AF_INET, text, &ipv4) != 1)
    return 0;
  *address = access_map_ipv4 (ipv4);
  return 32;
}

static bool
access_is_clean (const struct in6_addr *net, unsigned prefix)
{
  for (; prefix < 128; prefix++)
    if (net->s6_addr[prefix / 8] & (0x80 >> prefix % 8))
      return false;
  return true;
}

int
access_parse_net (const char *text, struct access_rule *rule)
{
  char address[INET6_ADDRSTRLEN];
  const char *slash = strchrnul (text, '/');
  uint32_t bits;
  unsigned all;

  if ((size_t) (slash - text) >= sizeof address)
    return -EINVAL;
  memcpy (address, text, slash - text);
  address[slash - text] = '\0';
  all = access_parse_address (address, &rule->net);
  if (all == 0)
    return -EINVAL;
  bits = all;
  if (*slash && (args_parse_u32 (slash + 1, &bits) < 0 || bits > all))
    return -EINVAL;
  rule->prefix = 128 - all + bits;
  return access_is_clean (&rule->net, rule->prefix) ? 0 : -EINVAL;
}

void
access_print_net (const struct access_rule *rule, char buf[ACCESS_NET_LEN])
{
  char address[INET6_ADDRSTRLEN];
  bool is_ipv4 = IN6_IS_ADDR_V4MAPPED (&rule->net) && rule->prefix >= 96;

  if (is_ipv4)
    inet_ntop (AF_INET, &rule->net.s6_addr[12], address, sizeof address);
  else
    inet_ntop (AF_INET6, &rule->net, address, sizeof address);
  snprintf (buf, ACCESS_NET_LEN, "%s/%u", address,
            is_ipv4 ? rule->prefix - 96 : rule->prefix);
}
