/* SPDX-License-Identifier: BSD-3-Clause */
/* Which NBD clients may use an export. */

#ifndef NBDM_ACCESS_H
#define NBDM_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>

#define ACCESS_ANY UINT32_MAX

/* One entry of a device's allow: a client is admitted if all that it says holds
 * for him.
 */
struct access_rule {
  unsigned uid, gid;       /* ACCESS_ANY: no matter.  Else over a Unix domain
                              socket only */
  struct in6_addr net;     /* IPv4 is mapped into IPv6 … */
  unsigned prefix;         /* … so is this, in bits; ACCESS_ANY: no matter */
  enum { ACCESS_TLS_ANY, ACCESS_TLS_NO, ACCESS_TLS_YES } tls;
  /* Patterns for the distinguished names of the client's certificate and of
   * who issued it; NULL: no matter.  A * stands for any characters within one
   * value of the name: none of , + \.  So "CN=*,O=Home" does not take the
   * name "CN=x\,O=Home" for one of O=Home.
   */
  char *tls_dn, *tls_issuer_dn;
};

/* A copy of n rules that owns its strings; NULL without memory. */
struct access_rule *access_copy_rules (const struct access_rule rules[],
                                       size_t n);
void access_free_rules (struct access_rule rules[], size_t n);

/* A client, as far as it is known. */
struct access_peer {
  bool tls;
  bool is_local;           /* by Unix domain socket: uid and gid are known */
  unsigned uid, gid;
  bool has_address;        /* by TCP */
  struct in6_addr address;
  const char *tls_dn, *tls_issuer_dn; /* RFC 4514; NULL or "": not known */
};

/* True if one of the rules admits the peer. */
bool access_admits (const struct access_rule *rules, size_t n,
                    const struct access_peer *peer);

/* "ADDRESS/BITS" or "ADDRESS", IPv4 or IPv6; bits behind the prefix must be 0.
 * 0 or -EINVAL.
 */
int access_parse_net (const char *text, struct access_rule *rule);

/* The same back; buf has room for it. */
#define ACCESS_NET_LEN (INET6_ADDRSTRLEN + 4)
void access_print_net (const struct access_rule *rule,
                       char buf[ACCESS_NET_LEN]);

/* An address that is IPv4, as IPv6. */
struct in6_addr access_map_ipv4 (struct in_addr address);

#endif /* NBDM_ACCESS_H */
