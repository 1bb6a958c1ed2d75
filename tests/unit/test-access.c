/* SPDX-License-Identifier: BSD-3-Clause */
/* Which clients are admitted. */

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <string.h>

#include "config/access.h"

static struct access_rule
anybody (void)
{
  return (struct access_rule) { .uid = ACCESS_ANY, .gid = ACCESS_ANY,
                                .prefix = ACCESS_ANY };
}

static struct access_peer
from (const char *address)
{
  struct access_peer peer = { .has_address = true };
  struct in_addr ipv4;

  if (inet_pton (AF_INET6, address, &peer.address) != 1) {
    cr_assert_eq (inet_pton (AF_INET, address, &ipv4), 1);
    peer.address = access_map_ipv4 (ipv4);
  }
  return peer;
}

static bool
is_in (const char *address, const char *net)
{
  struct access_rule rule = anybody ();
  struct access_peer peer = from (address);

  cr_assert_eq (access_parse_net (net, &rule), 0, "%s", net);
  return access_admits (&rule, 1, &peer);
}

Test (access, networks_have_the_addresses_that_begin_so)
{
  cr_assert (is_in ("10.1.2.3", "10.0.0.0/8"));
  cr_assert_not (is_in ("11.1.2.3", "10.0.0.0/8"));
  cr_assert (is_in ("10.1.2.3", "10.1.2.2/31"));
  cr_assert_not (is_in ("10.1.2.4", "10.1.2.2/31"));
  cr_assert (is_in ("10.1.2.3", "10.1.2.3"));
  cr_assert (is_in ("10.1.2.3", "0.0.0.0/0"));
  cr_assert_not (is_in ("::1", "0.0.0.0/0"));
  cr_assert (is_in ("2001:db8::5", "2001:db8::/33"));
  cr_assert_not (is_in ("2001:db8:8000::5", "2001:db8::/33"));
  cr_assert (is_in ("::1", "::/0"));
  /* A socket for IPv6 sees clients with IPv4 so. */
  cr_assert (is_in ("::ffff:10.1.2.3", "10.0.0.0/8"));
}

Test (access, what_is_no_network_is_refused)
{
  static const char *const texts[] = {
    "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/x", "10.0.0.1/8", "10.0/8",
    "::1/64", "::/129", "localhost", "10.0.0.0/8/8",
    "10.0.0.0000000000000000000000000000000000000000000000000000000/8",
  };
  struct access_rule rule;

  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    cr_assert_lt (access_parse_net (texts[i], &rule), 0, "%s", texts[i]);
}

Test (access, networks_are_printed_as_they_are_read)
{
  static const char *const texts[] = { "10.1.0.0/16", "0.0.0.0/0", "::/0",
                                       "2001:db8::/32", "1.2.3.4/32" };
  struct access_rule rule;
  char text[ACCESS_NET_LEN];

  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    cr_assert_eq (access_parse_net (texts[i], &rule), 0);
    access_print_net (&rule, text);
    cr_assert_str_eq (text, texts[i]);
  }
}

Test (access, all_that_a_rule_says_must_hold)
{
  struct access_peer local = { .is_local = true, .uid = 5, .gid = 6 };
  struct access_peer remote = from ("10.1.2.3");
  struct access_rule rule = anybody ();

  cr_assert (access_admits (&rule, 1, &local));
  cr_assert (access_admits (&rule, 1, &remote));
  rule.uid = 5;
  cr_assert (access_admits (&rule, 1, &local));
  cr_assert_not (access_admits (&rule, 1, &remote));
  rule.gid = 7;
  cr_assert_not (access_admits (&rule, 1, &local));
  rule = anybody ();
  rule.tls = ACCESS_TLS_YES;
  cr_assert_not (access_admits (&rule, 1, &remote));
  remote.tls = true;
  cr_assert (access_admits (&rule, 1, &remote));
  rule.tls = ACCESS_TLS_NO;
  cr_assert_not (access_admits (&rule, 1, &remote));
  /* Of whom nothing is known is not user 0. */
  rule = anybody ();
  rule.uid = 0;
  cr_assert_not (access_admits (&rule, 1, &(struct access_peer) { 0 }));
  cr_assert_eq (access_parse_net ("0.0.0.0/0", &rule), 0);
  cr_assert_not (access_admits (&rule, 1, &(struct access_peer) { 0 }));
}

/* Does the pattern take this name for one of its own? */
static bool
names (const char *pattern, const char *name)
{
  struct access_rule rule = anybody ();
  struct access_peer peer = { .tls = true, .tls_dn = name };

  rule.tls_dn = (char *) pattern;
  return access_admits (&rule, 1, &peer);
}

Test (access, names_of_certificates_match_value_by_value)
{
  cr_assert (names ("CN=a,O=Home", "CN=a,O=Home"));
  cr_assert_not (names ("CN=a,O=Home", "CN=a,O=Home,C=DE"));
  cr_assert_not (names ("CN=a,O=Home", "CN=a"));
  cr_assert (names ("CN=*,O=Home", "CN=a.b.c,O=Home"));
  cr_assert (names ("CN=*,O=Home", "CN=,O=Home"));
  cr_assert (names ("CN=*.b.*,O=*", "CN=a.b.b.c,O=Home"));
  cr_assert (names ("CN=a*", "CN=a"));
  cr_assert_not (names ("CN=*,O=Home", "CN=a,OU=x,O=Home"));
  cr_assert_not (names ("CN=*,O=Home", "CN=a+OU=x,O=Home"));
  /* He only calls himself so. */
  cr_assert_not (names ("CN=*,O=Home", "CN=a\\,O=Home"));
  cr_assert_not (names ("*", "CN=a,O=Home"));
  cr_assert (names ("CN=a\\,b", "CN=a\\,b"));
}

Test (access, who_has_no_name_is_not_admitted_by_name)
{
  struct access_rule rule = anybody ();
  struct access_peer peer = { .tls = true, .tls_dn = "CN=a" };

  cr_assert_not (names ("*", ""));
  cr_assert_not (names ("*", NULL));
  rule.tls_issuer_dn = "CN=Home CA";
  cr_assert_not (access_admits (&rule, 1, &peer));
  peer.tls_issuer_dn = "CN=Home CA";
  cr_assert (access_admits (&rule, 1, &peer));
}

Test (access, one_rule_is_enough_and_none_is_not)
{
  struct access_peer local = { .is_local = true, .uid = 5 };
  struct access_rule rules[2] = { anybody (), anybody () };

  rules[0].uid = 1;
  cr_assert (access_admits (rules, 2, &local));
  cr_assert_not (access_admits (rules, 1, &local));
  cr_assert_not (access_admits (rules, 0, &local));
}
