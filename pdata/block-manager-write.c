/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks on their way from and to the device. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/crc32c.h"
#include "pdata/block-manager-internal.h"

static uint32_t
bm_checksum (const char *data, const struct bm_validator *v)
{
  return crc32c (~0u, data + sizeof (le32),
                 BM_BLOCK_BYTES - sizeof (le32)) ^ v->salt;
}

/* Number first, as in the kernel: a block in the wrong place has a checksum
 * that is right.
 */
int
bm_validate (const char *data, block_t nr, const struct bm_validator *v)
{
  le32 sum;
  le64 own;

  memcpy (&sum, data, sizeof sum);
  memcpy (&own, data + v->nr_offset, sizeof own);
  if (from_le64 (own) != nr)
    return -ENOTBLK;
  if (from_le32 (sum) != bm_checksum (data, v))
    return -EILSEQ;
  return v->check ? v->check (data) : 0;
}

/* Number and checksum are made here only, on the way out. */
static void
bm_seal (char *data, block_t nr, const struct bm_validator *v)
{
  le64 own = to_le64 (nr);
  le32 sum;

  memcpy (data + v->nr_offset, &own, sizeof own);
  sum = to_le32 (bm_checksum (data, v));
  memcpy (data, &sum, sizeof sum);
}

int
bm_may_write (struct block_manager *bm)
{
  return bm_is_read_only (bm) ? -EPERM : bm->error;
}

int
bm_submit (struct block_manager *bm, enum bio_op op, block_t nr, size_t n,
           void *data)
{
  struct bio bio = {
    .op = op,
    .bdev = bm->bdev,
    .sector = nr * BM_BLOCK_SECTORS,
    .len = n * BM_BLOCK_SECTORS,
    .data = data,
  };

  return bdev_submit (bm->bdev, &bio);
}

static bool
bm_writable (const struct bm_block *b, bool superblock)
{
  return !b->writer && (b->nr == BM_SUPERBLOCK) == superblock;
}

/* Take a read lock of up to BM_BATCH dirty blocks and list them in bm->batch,
 * so that nobody changes them while they are copied.
 */
static size_t
bm_collect (struct block_manager *bm, bool superblock)
{
  struct bm_shard *s;
  struct bm_block *b;
  size_t n = 0;

  for (s = bm->shards; s < bm->shards + BM_SHARDS; s++) {
    ACQUIRE_LATCH_FOR_SCOPE (&s->latch);
    list_for_each (b, &s->dirty, lru)
      if (n < BM_BATCH && bm_writable (b, superblock)) {
        b->readers++;
        bm->batch[n++] = b;
      }
  }
  return n;
}

/* The end of a write: drop the read lock that kept the block as it was. */
static void
bm_written (struct bm_block *b, bool ok)
{
  struct bm_shard *s = bm_shard (b->bm, b->nr);
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);

  b->readers--;
  if (ok) {
    b->dirty = false;
    list_del (&b->lru);
    list_add_tail (&s->clean, &b->lru);
  }
  bm_wake (s);
}

static int
bm_compare (const void *pa, const void *pb)
{
  const struct bm_block *const *a = pa, *const *b = pb;

  return (*a)->nr < (*b)->nr ? -1 : (*a)->nr > (*b)->nr;
}

/* Write the first blocks of the batch that follow one another; how many these
 * were is told in *len.
 */
static int
bm_write_run (struct block_manager *bm, struct bm_block **batch, size_t n,
              size_t *len)
{
  size_t i = 0;
  char *to = bm->run;

  do {
    memcpy (to, batch[i]->data, BM_BLOCK_BYTES);
    bm_seal (to, batch[i]->nr, batch[i]->validator);
    to += BM_BLOCK_BYTES;
    i++;
  } while (i < n && i < BM_RUN && batch[i]->nr == batch[0]->nr + i);
  *len = i;
  bm->unflushed = true;
  return bm_submit (bm, BIO_WRITE, batch[0]->nr, i, bm->run);
}

/* After an error the rest only gives its locks back, still dirty. */
static int
bm_write_batch (struct block_manager *bm, size_t n)
{
  size_t done, i, len;
  int r = 0;

  qsort (bm->batch, n, sizeof bm->batch[0], bm_compare);
  for (done = 0; done < n; done += len) {
    len = n - done;
    if (r == 0)
      r = bm_write_run (bm, bm->batch + done, n - done, &len);
    for (i = done; i < done + len; i++)
      bm_written (bm->batch[i], r == 0);
  }
  return r;
}

int
bm_write_out (struct block_manager *bm, bool superblock)
{
  ACQUIRE_GATE_FOR_SCOPE (&bm->writing);
  size_t n;
  int r;

  do {
    n = bm_collect (bm, superblock);
    r = bm_write_batch (bm, n);
  } while (r == 0 && n == BM_BATCH);
  if (r < 0)
    bm->error = -EIO;
  return r;
}

/* The mark goes first: a write that ends meanwhile sets it again. */
static int
bm_flush_device (struct block_manager *bm)
{
  int r;

  if (!bm->unflushed)
    return 0;
  bm->unflushed = false;
  r = bdev_flush (bm->bdev);
  if (r < 0)
    bm->error = -EIO;
  return r;
}

int
bm_flush (struct block_manager *bm)
{
  int r = bm_may_write (bm);

  if (r == 0)
    r = bm_write_out (bm, false);
  if (r == 0)
    r = bm_flush_device (bm);
  if (r == 0)
    r = bm_write_out (bm, true);
  if (r == 0)
    r = bm_flush_device (bm);
  return r;
}
