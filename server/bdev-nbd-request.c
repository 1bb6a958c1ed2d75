/* SPDX-License-Identifier: BSD-3-Clause */
/* What a bio is in terms of NBD commands, and what becomes of them. */

#include "server/bdev-nbd.h"

#include <string.h>

#include <libnbd.h>

/* The largest data NBD servers have to take, and the largest length without
 * data that is a multiple of any block size.
 */
#define REQUEST_MAX_DATA_BYTES (32u << 20)
#define REQUEST_MAX_RANGE_BYTES (UINT32_MAX - 65535)

/* Whom this thread has to wake, linked by next. */
static __thread struct upstream_waiter *request_waiters;

void
requests_wake (void)
{
  struct upstream_waiter *waiter;

  while ((waiter = request_waiters) != NULL) {
    request_waiters = waiter->next;
    sem_post (&waiter->sem);
  }
}

/* All commands of the request have ended.  After done is set it is not ours
 * any more.
 */
static void
request_complete (struct upstream_request *req)
{
  struct upstream_conn *conn = req->conn;
  struct upstream_waiter *waiter = NULL;

  latch_acquire (&conn->latch);
  if (!req->lost || req->error) {
    waiter = req->waiter;
    req->waiter = NULL;
    list_del (&req->link);
    req->done = true;
  }
  latch_release (&conn->latch);
  if (waiter) {
    waiter->next = request_waiters;
    request_waiters = waiter;
  }
}

static void
request_put (struct upstream_request *req)
{
  if (--req->pending == 0)
    request_complete (req);
}

/* Called by libnbd, with its handle locked, by whichever thread is in it.  A
 * command that the connection took down with it has ENOTCONN, which is not an
 * error of the protocol.
 */
static int
request_answered (void *opaque, int *error)
{
  struct upstream_request *req = opaque;
  int err = *error;

  if (err == ESHUTDOWN)
    req->conn->trust = UPSTREAM_ENDING;
  if (err == ENOTCONN || err == ESHUTDOWN)
    req->lost = true;
  else {
    req->conn->replies++;
    if (req->error == 0)
      req->error = err;
  }
  request_put (req);
  return 1;
}

static int
request_extents (void *opaque, const char *context, uint64_t offset,
                 uint32_t *entries, size_t nr, int *error)
{
  struct upstream_extents *e = opaque;

  if (strcmp (context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0)
    return 0;
  e->nr = nr / 2 < UPSTREAM_MAX_EXTENTS ? nr / 2 : UPSTREAM_MAX_EXTENTS;
  memcpy (e->entries, entries, e->nr * 2 * sizeof entries[0]);
  return 0;
}

static uint32_t
request_flags (const struct upstream *up, const struct bio *bio)
{
  uint32_t flags = 0;

  if ((bio->flags & BIO_FUA) && up->can.fua && bio_is_write (bio))
    flags |= LIBNBD_CMD_FLAG_FUA;
  if (bio->op == BIO_WRITE_ZEROES) {
    if (bio->flags & BIO_NOUNMAP)
      flags |= LIBNBD_CMD_FLAG_NO_HOLE;
    if (bio->flags & BIO_FAST_ZERO)
      flags |= LIBNBD_CMD_FLAG_FAST_ZERO;
  }
  return flags;
}

/* Hand one command to libnbd, which sends it as far as the socket takes it. */
static int64_t
request_issue_piece (struct upstream_request *req, uint64_t skip,
                     uint64_t bytes)
{
  const struct bio *bio = req->bio;
  struct nbd_handle *h = req->conn->h;
  const struct upstream *up = req->conn->up;
  uint64_t at = up->options.offset_bytes + sectors_to_bytes (bio->sector)
    + skip;
  uint32_t flags = request_flags (up, bio);
  nbd_completion_callback done = { .callback = request_answered,
                                   .user_data = req };

  if (req->extents)
    return nbd_aio_block_status (h, bytes, at, (nbd_extent_callback) {
        .callback = request_extents, .user_data = req->extents }, done, 0);
  switch (bio->op) {
  case BIO_READ:
    return nbd_aio_pread (h, bio->data + skip, bytes, at, done, 0);
  case BIO_WRITE:
    return nbd_aio_pwrite (h, bio->data + skip, bytes, at, done, flags);
  case BIO_DISCARD:
    return nbd_aio_trim (h, bytes, at, done, flags);
  case BIO_WRITE_ZEROES:
    return nbd_aio_zero (h, bytes, at, done, flags);
  case BIO_PREFETCH:
    return nbd_aio_cache (h, bytes, at, done, 0);
  default:
    return nbd_aio_flush (h, done, 0);
  }
}

static uint64_t
request_max_bytes (const struct upstream_request *req)
{
  const struct queue_limits *limits = &req->conn->up->limits;
  uint64_t max = REQUEST_MAX_DATA_BYTES;

  if (!bio_has_data (req->bio) || req->extents)
    return REQUEST_MAX_RANGE_BYTES;
  if (limits->max_sectors && sectors_to_bytes (limits->max_sectors) < max)
    max = sectors_to_bytes (limits->max_sectors);
  return max - max % limits->logical_block_bytes;
}

/* Issue everything; the answers may have come when this returns.  pending is
 * one more than the commands meanwhile, so that it ends only once.
 */
void
request_issue (struct upstream_request *req)
{
  struct upstream_conn *conn = req->conn;
  struct bio *bio = req->bio;
  uint64_t bytes = sectors_to_bytes (bio->len), skip = 0, n = bytes;
  uint64_t max = request_max_bytes (req);

  if (!sectors_in_range (bio->sector, bio->len,
                         bdev_size (&conn->up->bdev))) {
    req->error = EIO; /* it has shrunk */
    request_put (req);
    return;
  }
  do {
    if (n > max)
      n = max;
    req->pending++;
    if (request_issue_piece (req, skip, n) == -1) {
      if (nbd_aio_get_direction (conn->h) == 0)
        req->lost = true; /* the handle is dead */
      else if (req->error == 0)
        req->error = nbd_get_errno () ? nbd_get_errno () : EIO;
      req->pending--;
      break;
    }
    skip += n;
    n = bytes - skip;
  } while (n > 0);
  /* A leader that sleeps does not know that there is more to send, or nothing
   * more to wait for.
   */
  if (conn->polling &&
      nbd_aio_get_direction (conn->h) != LIBNBD_AIO_DIRECTION_READ)
    conn_kick (conn);
  request_put (req);
}
