/* SPDX-License-Identifier: BSD-3-Clause */
/* Upstream NBD exports as block devices. */

#include "server/bdev-nbd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

/* Seconds to connect, unless told otherwise. */
#define UPSTREAM_TIMEOUT 10

/* For data: one for each of the clients that copy or test with several, and so
 * many threads rarely wait for each other.
 */
#define UPSTREAM_CONNECTIONS 4
#define UPSTREAM_MAX_CONNECTIONS 64

static struct upstream *
upstream_of (struct block_device *bdev)
{
  return container_of (bdev, struct upstream, bdev);
}

/* ------------------------------------------------------------------
 * I/O.
 */

/* All are equal if there are several (can.multi_conn).  What comes from one
 * client stays together: with the least loaded one for each request, four
 * clients were a fifth slower (nbdkit 1.32 on a unix socket, 4 KiB).
 */
static struct upstream_conn *
upstream_pick (struct upstream *up, const struct bio *bio)
{
  unsigned first = up->first_data_conn;

  return &up->conns[first + bio->lane % (up->nr_conns - first)];
}

static int
upstream_check_write (const struct upstream *up, const struct bio *bio)
{
  const struct upstream_features *can = &up->can;

  if (!bio_is_write (bio))
    return 0;
  if (up->bdev.readonly)
    return -EPERM;
  if ((bio->op == BIO_DISCARD && !can->trim) ||
      (bio->op == BIO_WRITE_ZEROES && !can->zero) ||
      ((bio->flags & BIO_FAST_ZERO) && !can->fast_zero))
    return -EOPNOTSUPP;
  return 0;
}

static int
upstream_check (struct upstream *up, const struct bio *bio)
{
  if (!sectors_in_range (bio->sector, bio->len, bdev_size (&up->bdev)))
    return -EIO;
  return upstream_check_write (up, bio);
}

/* Nothing to send: what the server does not offer, but need not. */
static bool
upstream_is_no_op (const struct upstream *up, const struct bio *bio)
{
  if (bio->op == BIO_FLUSH)
    return !up->can.flush || up->bdev.readonly;
  return bio->op == BIO_PREFETCH && !up->can.cache;
}

/* A connection that is lost and not tried again yet refuses; the server may be
 * back all the same, and on another one.
 */
static int
upstream_issue (struct upstream *up, struct upstream_request *req,
                struct bio *bio)
{
  struct upstream_conn *conn = &up->conns[up->first_data_conn];
  int r = conn_start (upstream_pick (up, bio), req, bio, NULL);

  for (; r == -EIO && conn < up->conns + up->nr_conns; conn++)
    r = conn_start (conn, req, bio, NULL);
  return r;
}

static int
upstream_begin (struct upstream *up, struct upstream_request *req,
                struct bio *bio)
{
  int r = upstream_check (up, bio);

  if (r < 0)
    return r;
  if (upstream_is_no_op (up, bio)) {
    *req = (struct upstream_request) { .bio = bio, .done = true };
    return 0;
  }
  return upstream_issue (up, req, bio);
}

/* For an errno of the server's. */
static int
upstream_result (const struct bio *bio, int r)
{
  if (bio->op == BIO_PREFETCH && r != -ESHUTDOWN)
    return 0; /* advice */
  if (r == -ENOTSUP && bio_has_data (bio))
    return -EIO;
  return r;
}

static int
upstream_end (struct upstream *up, struct upstream_request *req)
{
  struct bio *bio = req->bio;
  int r;

  if (req->conn == NULL)
    return 0;
  r = upstream_result (bio, conn_finish (req));
  if (r == 0 && (bio->flags & BIO_FUA) && bio_is_write (bio) && !up->can.fua)
    r = bdev_flush (&up->bdev);
  return r;
}

static int
upstream_submit (struct block_device *bdev, struct bio *bio)
{
  struct upstream *up = upstream_of (bdev);
  struct upstream_request req;
  int r = upstream_begin (up, &req, bio);

  return r == 0 ? upstream_end (up, &req) : r;
}

static struct upstream_request *
upstream_request_of (struct bio *bio)
{
  _Static_assert (sizeof (struct upstream_request) <=
                  sizeof bio->device_private, "it has to fit");

  return (struct upstream_request *) bio->device_private;
}

static int
upstream_start (struct block_device *bdev, struct bio *bio)
{
  return upstream_begin (upstream_of (bdev), upstream_request_of (bio), bio);
}

static int
upstream_finish (struct block_device *bdev, struct bio *bio)
{
  return upstream_end (upstream_of (bdev), upstream_request_of (bio));
}

/* ------------------------------------------------------------------
 * Extents.
 */

/* Pass on what the server told of the range that begins at sector.  Its bounds
 * are bytes; a sector that is not all hole is data.
 */
static int
upstream_tell (const struct upstream_extents *e, sector_t len,
               struct extent_sink *sink)
{
  uint64_t at = 0, end;
  sector_t told = 0, from, to;
  unsigned i, flags;
  int r = 0;

  for (i = 0; i < e->nr && told < len && r == 0; i++, at = end) {
    end = at + e->entries[2 * i];
    from = bytes_to_sectors (at + SECTOR_SIZE - 1);
    to = bytes_to_sectors (end);
    flags = e->entries[2 * i + 1] & (EXTENT_HOLE | EXTENT_ZERO);
    if (to > len)
      to = len;
    if (flags == 0 || to <= from)
      continue;
    if (from > told)
      r = sink->add (sink, from - told, 0);
    if (r == 0)
      r = sink->add (sink, to - from, flags);
    told = to;
  }
  to = e->nr ? bytes_to_sectors (at) : len;
  if (to == 0 || to > len)
    to = len;
  if (r == 0 && to > told)
    r = sink->add (sink, to - told, 0);
  return r < 0 ? r : 0;
}

static int
upstream_extents (struct block_device *bdev, sector_t sector, sector_t len,
                  struct extent_sink *sink)
{
  struct upstream *up = upstream_of (bdev);
  struct bio bio = { .bdev = bdev, .sector = sector };
  struct upstream_extents e = { .nr = 0 };
  struct upstream_request req;
  int r;

  if (!up->can.extents) {
    r = sink->add (sink, len, 0);
    return r < 0 ? r : 0;
  }
  /* One command: the longest that is a multiple of any block size. */
  bio.len = bytes_to_sectors (UINT32_MAX - 65535);
  if (bio.len > len)
    bio.len = len;
  r = conn_start (&up->conns[0], &req, &bio, &e);
  if (r == 0)
    r = conn_finish (&req);
  return r == 0 ? upstream_tell (&e, bio.len, sink) : r;
}

/* ------------------------------------------------------------------
 * What the server says it is.
 */

static void
upstream_read_features (struct nbd_handle *h, struct upstream_features *can)
{
  *can = (struct upstream_features) {
    .flush = nbd_can_flush (h) == 1,
    .fua = nbd_can_fua (h) == 1,
    .trim = nbd_can_trim (h) == 1,
    .zero = nbd_can_zero (h) == 1,
    .fast_zero = nbd_can_fast_zero (h) == 1,
    .cache = nbd_can_cache (h) == 1,
    .multi_conn = nbd_can_multi_conn (h) == 1,
    .readonly = nbd_is_read_only (h) == 1,
    .extents =
      nbd_can_meta_context (h, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1,
  };
}

static unsigned
upstream_block_bytes (struct nbd_handle *h, int type)
{
  int64_t bytes = nbd_get_block_size (h, type);

  return bytes > 0 && bytes <= UINT32_MAX ? bytes : 0;
}

static void
upstream_read_limits (struct upstream *up, struct nbd_handle *h)
{
  struct queue_limits *limits = &up->limits;
  unsigned min = upstream_block_bytes (h, LIBNBD_SIZE_MINIMUM);
  unsigned preferred = upstream_block_bytes (h, LIBNBD_SIZE_PREFERRED);
  unsigned max = upstream_block_bytes (h, LIBNBD_SIZE_MAXIMUM);

  *limits = QUEUE_LIMITS_DEFAULT;
  if (min > limits->logical_block_bytes)
    limits->logical_block_bytes = limits->physical_block_bytes =
      limits->io_min_bytes = min;
  if (preferred > limits->io_min_bytes)
    limits->io_min_bytes = limits->io_opt_bytes = preferred;
  if (max != UINT32_MAX)
    limits->max_sectors = bytes_to_sectors (max);
  limits->discard = up->can.trim && !up->bdev.readonly;
  limits->write_zeroes = up->can.zero && !up->bdev.readonly;
  if (limits->discard)
    limits->discard_granularity_bytes = limits->io_min_bytes;
  limits->write_cache = up->can.flush;
  limits->fua = up->can.fua;
  limits->rotational = nbd_is_rotational (h) == 1;
}

/* Take over the size; a window that is larger than what is there now shows
 * what is left of it.
 */
static void
upstream_update_size (struct upstream *up, struct nbd_handle *h)
{
  int64_t end = nbd_get_size (h);
  uint64_t start = up->options.offset_bytes, bytes = 0;

  if (end >= 0 && (uint64_t) end > start)
    bytes = end - start;
  if (up->options.size_bytes && bytes > up->options.size_bytes)
    bytes = up->options.size_bytes;
  up->bdev.size =
    bytes_to_sectors (bytes - bytes % up->limits.logical_block_bytes);
}

int
upstream_recognise (struct upstream *up, struct nbd_handle *h,
                    struct message *msg)
{
  struct upstream_features can, *old = &up->can;

  upstream_read_features (h, &can);
  if (can.readonly && !up->bdev.readonly)
    return message_set (msg, EIO, "the server has become read-only");
  if ((old->flush && !can.flush) || (old->fua && !can.fua) ||
      (old->multi_conn && !can.multi_conn) || (old->trim && !can.trim) ||
      (old->zero && !can.zero) || (old->fast_zero && !can.fast_zero) ||
      (old->cache && !can.cache))
    return message_set (msg, EIO, "the server can less than before");
  upstream_update_size (up, h);
  return 0;
}

static void
upstream_limits (struct block_device *bdev, struct queue_limits *limits)
{
  *limits = upstream_of (bdev)->limits;
}

/* ------------------------------------------------------------------
 * Opening and closing.
 */

static void
upstream_shutdown (struct block_device *bdev)
{
  struct upstream *up = upstream_of (bdev);
  unsigned i;

  up->ending = true;
  for (i = 0; i < up->nr_conns; i++)
    conn_kick (&up->conns[i]);
}

static void
upstream_close (struct block_device *bdev)
{
  struct upstream *up = upstream_of (bdev);
  unsigned i;

  for (i = 0; i < up->nr_conns; i++)
    conn_destroy (&up->conns[i]);
  free (up->conns);
  free (up->uri);
  free ((char *) up->bdev.name);
  free (up);
}

/* Two URIs that lead to one export by different ways are not recognised. */
static bool
upstream_same (struct block_device *bdev, struct block_device *other)
{
  const struct upstream *up = upstream_of (bdev), *to = upstream_of (other);

  return strcmp (up->uri, to->uri) == 0 &&
    up->options.offset_bytes == to->options.offset_bytes;
}

static const struct block_device_ops upstream_ops = {
  .submit = upstream_submit,
  .start = upstream_start,
  .finish = upstream_finish,
  .extents = upstream_extents,
  .limits = upstream_limits,
  .same = upstream_same,
  .shutdown = upstream_shutdown,
  .close = upstream_close,
};

uint64_t
upstream_connect_deadline (const struct upstream *up)
{
  unsigned seconds = up->options.timeout;

  return monotonic_ns () +
    (seconds ? seconds : UPSTREAM_TIMEOUT) * UINT64_C (1000000000);
}

/* Connect one more of up->conns. */
static int
upstream_connect (struct upstream *up, bool structured, struct nbd_handle **h,
                  struct message *msg)
{
  struct upstream_conn *conn = &up->conns[up->nr_conns];
  struct upstream_dial dial = {
    .uri = up->uri,
    .structured = structured,
    .deadline_ns = upstream_connect_deadline (up),
    .cancel = &up->ending,
  };
  int r = conn_init (conn, up, structured);

  if (r < 0)
    message_set (msg, -r, "%s: %s", up->uri, strerror (-r));
  dial.kick_fd = conn->kick_fd;
  if (r == 0)
    r = upstream_dial (&dial, h, msg);
  if (r < 0) {
    conn_destroy (conn);
    return r;
  }
  conn_adopt (conn, *h);
  up->nr_conns++;
  return 0;
}

static unsigned
upstream_wanted (const struct upstream *up)
{
  return up->options.connections ? up->options.connections
                                 : UPSTREAM_CONNECTIONS;
}

/* The first connection tells what the server is and can be asked for extents.
 * Data goes faster without structured replies, so it gets connections of its
 * own, where the server likes to have several.  It may still limit their
 * number: then the first carries data too.
 */
static int
upstream_connect_all (struct upstream *up, struct message *msg)
{
  unsigned wanted = upstream_wanted (up);
  struct nbd_handle *first, *h;
  uint64_t size_bytes;
  int r;

  r = upstream_connect (up, true, &first, msg);
  if (r < 0)
    return r;
  upstream_read_features (first, &up->can);
  up->bdev.readonly = up->bdev.readonly || up->can.readonly;
  upstream_read_limits (up, first);
  r = bdev_window (&up->options, nbd_get_size (first),
                   up->limits.logical_block_bytes, &size_bytes, msg);
  if (r < 0) {
    message_prefix (msg, "%s: ", up->uri);
    return r;
  }
  upstream_update_size (up, first);
  if (!up->can.multi_conn)
    return 0;
  if (up->can.extents)
    wanted++;
  while (up->nr_conns < wanted)
    if (upstream_connect (up, false, &h, NULL) < 0)
      break;
  up->first_data_conn = up->can.extents && up->nr_conns > 1;
  return 0;
}

static int
upstream_set_up (struct upstream *up, const char *uri, const char *name,
                 struct message *msg)
{
  unsigned n = upstream_wanted (up);

  if (n > UPSTREAM_MAX_CONNECTIONS)
    return message_set (msg, EINVAL, "%s: %u connections are more than %d",
                        uri, n, UPSTREAM_MAX_CONNECTIONS);
  up->bdev.name = strdup (name);
  up->uri = strdup (uri);
  up->conns = calloc (n + 1, sizeof *up->conns);
  if (up->bdev.name == NULL || up->uri == NULL || up->conns == NULL)
    return message_set (msg, ENOMEM, "%s: out of memory", uri);
  return upstream_connect_all (up, msg);
}

int
bdev_nbd_open (const char *uri, const char *name, bool writable,
               const struct bdev_options *options, struct block_device **bdev,
               struct message *msg)
{
  struct upstream *up = calloc (1, sizeof *up);
  int r;

  if (up == NULL)
    return message_set (msg, ENOMEM, "%s: out of memory", uri);
  up->bdev.ops = &upstream_ops;
  up->bdev.readonly = !writable || options->readonly;
  up->options = *options;
  r = upstream_set_up (up, uri, name, msg);
  if (r < 0)
    upstream_close (&up->bdev);
  else
    *bdev = &up->bdev;
  return r;
}

const char *
bdev_nbd_library_version (void)
{
  static char version[32];
  struct nbd_handle *h;

  if (version[0] == '\0' && (h = nbd_create ()) != NULL) {
    snprintf (version, sizeof version, "%s", nbd_get_version (h));
    nbd_close (h);
  }
  return version;
}
