/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel's NBD client, by its generic netlink commands. */

#include "clients/nbd-netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/netlink.h>

/* A message under construction, or an answer: all of ours are short. */
struct message {
  union {
    struct nlmsghdr head;
    char bytes[2048];
  };
};

static struct genlmsghdr *
message_generic (struct message *m)
{
  return NLMSG_DATA (&m->head);
}

static void
message_init (struct message *m, uint16_t type, uint8_t command)
{
  memset (m, 0, sizeof *m);
  m->head.nlmsg_len = NLMSG_LENGTH (GENL_HDRLEN);
  m->head.nlmsg_type = type;
  m->head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  message_generic (m)->cmd = command;
  message_generic (m)->version = 1;
}

/* An attribute at the end; returns where it begins. */
static struct nlattr *
message_add (struct message *m, uint16_t type, const void *data, size_t bytes)
{
  struct nlattr *attr = (struct nlattr *) (m->bytes + m->head.nlmsg_len);

  attr->nla_type = type;
  attr->nla_len = NLA_HDRLEN + bytes;
  if (bytes > 0)
    memcpy (attr + 1, data, bytes);
  m->head.nlmsg_len += NLA_ALIGN (attr->nla_len);
  return attr;
}

static void
message_add_u32 (struct message *m, uint16_t type, uint32_t value)
{
  message_add (m, type, &value, sizeof value);
}

static void
message_add_u64 (struct message *m, uint16_t type, uint64_t value)
{
  message_add (m, type, &value, sizeof value);
}

/* attr holds all that has been added since it. */
static void
message_end_nest (struct message *m, struct nlattr *attr)
{
  attr->nla_type |= NLA_F_NESTED;
  attr->nla_len = m->bytes + m->head.nlmsg_len - (char *) attr;
}

static void
message_add_socket (struct message *m, int sock)
{
  struct nlattr *list = message_add (m, NBD_ATTR_SOCKETS, NULL, 0);
  struct nlattr *item = message_add (m, NBD_SOCK_ITEM, NULL, 0);

  message_add_u32 (m, NBD_SOCK_FD, sock);
  message_end_nest (m, item);
  message_end_nest (m, list);
}

/* The bytes of an answer's attribute, or NULL. */
static const void *
message_find (const struct message *m, uint16_t type, size_t bytes)
{
  size_t at = NLMSG_LENGTH (GENL_HDRLEN), end = m->head.nlmsg_len;

  while (at + NLA_HDRLEN <= end) {
    const struct nlattr *attr = (const struct nlattr *) (m->bytes + at);

    if (attr->nla_len < NLA_HDRLEN || attr->nla_len > end - at)
      return NULL;
    if ((attr->nla_type & NLA_TYPE_MASK) == type)
      return attr->nla_len >= NLA_HDRLEN + bytes ? attr + 1 : NULL;
    at += NLA_ALIGN (attr->nla_len);
  }
  return NULL;
}

/* Put the next message of a datagram, which may hold several, first. */
static bool
message_take (struct message *m, size_t *left)
{
  size_t length = NLMSG_ALIGN (m->head.nlmsg_len);

  if (length >= *left)
    return false;
  *left -= length;
  memmove (m->bytes, m->bytes + length, *left);
  return *left >= sizeof m->head && m->head.nlmsg_len <= *left;
}

/* Read until the request is acknowledged; what came before that is *answer. */
static int
netlink_await (struct nbd_netlink *link, struct message *answer)
{
  struct message m;
  ssize_t n;
  size_t left;

  for (;;) {
    n = recv (link->fd, m.bytes, sizeof m.bytes, 0);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -errno;
    left = n;
    if (left < sizeof m.head || m.head.nlmsg_len > left)
      return -EPROTO;
    do {
      if (m.head.nlmsg_seq != link->sequence)
        continue;
      if (m.head.nlmsg_type == NLMSG_ERROR)
        return ((struct nlmsgerr *) NLMSG_DATA (&m.head))->error;
      *answer = m;
    } while (message_take (&m, &left));
  }
}

static int
netlink_call (struct nbd_netlink *link, struct message *request,
              struct message *answer)
{
  struct message ignored;

  request->head.nlmsg_seq = ++link->sequence;
  if (send (link->fd, request->bytes, request->head.nlmsg_len, 0) < 0)
    return -errno;
  return netlink_await (link, answer ? answer : &ignored);
}

int
nbd_netlink_open (struct nbd_netlink *link)
{
  struct message request, answer = { .bytes = "" };
  const uint16_t *family;
  int r;

  *link = (struct nbd_netlink) {
    .fd = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC)
  };
  if (link->fd < 0)
    return -errno;
  message_init (&request, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
  message_add (&request, CTRL_ATTR_FAMILY_NAME, NBD_GENL_FAMILY_NAME,
               sizeof NBD_GENL_FAMILY_NAME);
  r = netlink_call (link, &request, &answer);
  family = message_find (&answer, CTRL_ATTR_FAMILY_ID, sizeof *family);
  if (r == 0 && family == NULL)
    r = -EPROTO;
  if (r < 0)
    nbd_netlink_close (link);
  else
    link->family = *family;
  return r;
}

void
nbd_netlink_close (struct nbd_netlink *link)
{
  if (link->fd >= 0)
    close (link->fd);
  link->fd = -1;
}

int
nbd_netlink_connect (struct nbd_netlink *link, struct nbd_device *device,
                     int sock, unsigned dead_seconds)
{
  struct message request, answer = { .bytes = "" };
  const uint32_t *index;
  int r;

  message_init (&request, link->family, NBD_CMD_CONNECT);
  if (device->index != NBD_ANY)
    message_add_u32 (&request, NBD_ATTR_INDEX, device->index);
  message_add_u64 (&request, NBD_ATTR_SIZE_BYTES, device->size_bytes);
  message_add_u64 (&request, NBD_ATTR_BLOCK_SIZE_BYTES, device->block_bytes);
  message_add_u64 (&request, NBD_ATTR_SERVER_FLAGS, device->server_flags);
  message_add_u64 (&request, NBD_ATTR_TIMEOUT, 0);
  message_add_u64 (&request, NBD_ATTR_DEAD_CONN_TIMEOUT, dead_seconds);
  message_add_socket (&request, sock);
  r = netlink_call (link, &request, &answer);
  if (r < 0)
    return r;
  index = message_find (&answer, NBD_ATTR_INDEX, sizeof *index);
  if (index == NULL)
    return -EPROTO;
  device->index = *index;
  return 0;
}

int
nbd_netlink_reconnect (struct nbd_netlink *link, uint32_t index, int sock)
{
  struct message request;

  message_init (&request, link->family, NBD_CMD_RECONFIGURE);
  message_add_u32 (&request, NBD_ATTR_INDEX, index);
  message_add_socket (&request, sock);
  return netlink_call (link, &request, NULL);
}

int
nbd_netlink_resize (struct nbd_netlink *link, const struct nbd_device *device)
{
  struct message request;

  message_init (&request, link->family, NBD_CMD_RECONFIGURE);
  message_add_u32 (&request, NBD_ATTR_INDEX, device->index);
  message_add_u64 (&request, NBD_ATTR_SIZE_BYTES, device->size_bytes);
  message_add_u64 (&request, NBD_ATTR_BLOCK_SIZE_BYTES, device->block_bytes);
  return netlink_call (link, &request, NULL);
}

int
nbd_netlink_disconnect (struct nbd_netlink *link, uint32_t index)
{
  struct message request;

  message_init (&request, link->family, NBD_CMD_DISCONNECT);
  message_add_u32 (&request, NBD_ATTR_INDEX, index);
  return netlink_call (link, &request, NULL);
}
