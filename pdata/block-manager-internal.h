/* SPDX-License-Identifier: BSD-3-Clause */
/* The insides of a block manager; private to block-manager*.c. */

#ifndef NBDM_BLOCK_MANAGER_INTERNAL_H
#define NBDM_BLOCK_MANAGER_INTERNAL_H

#include <pthread.h>

#include "common/list.h"
#include "common/lock.h"
#include "pdata/block-manager.h"

#define BM_SHARDS 8   /* latches of the cache */
#define BM_BATCH 4096 /* blocks written in one ascending pass */
#define BM_RUN 64     /* blocks in one bio */

/* Guarded by the latch of its shard, but for nr, bm, data and what is in
 * data.
 */
struct bm_block {
  struct block_manager *bm;
  block_t nr;
  void *data;
  const struct bm_validator *validator;
  unsigned readers; /* read locks; a write-out holds one, too */
  bool writer;      /* locked for writing, or being read from the device */
  bool dirty;
  struct bm_block *next; /* of the same bucket */
  struct list lru;       /* in clean or dirty */
};

struct bm_shard {
  struct latch latch;
  pthread_cond_t unlocked;
  unsigned waiting;
  size_t nr_blocks, budget, nr_buckets;
  struct bm_block **buckets;
  struct list clean, dirty; /* least recently used first */
};

struct block_manager {
  struct block_device *bdev;
  struct bm_shard shards[BM_SHARDS];
  _Atomic bool read_only;
  _Atomic bool unflushed; /* something was written since the last flush */
  _Atomic int error;      /* of a failed write or flush */

  struct gate writing;    /* one write-out at a time; guards the rest */
  char *run;              /* BM_RUN blocks */
  struct bm_block **batch;
};

static inline struct bm_shard *
bm_shard (struct block_manager *bm, block_t nr)
{
  return &bm->shards[nr % BM_SHARDS];
}

/* Wake whoever waits for a block of the shard; its latch is held. */
static inline void
bm_wake (struct bm_shard *s)
{
  if (s->waiting)
    pthread_cond_broadcast (&s->unlocked);
}

/* What is checked when a block was read; 0, -ENOTBLK or -EILSEQ. */
int bm_validate (const char *data, block_t nr, const struct bm_validator *v);

/* 0, or why nothing can be written: -EPERM, or an error before. */
int bm_may_write (struct block_manager *bm);

/* Read or write n blocks from nr on. */
int bm_submit (struct block_manager *bm, enum bio_op op, block_t nr, size_t n,
               void *data);

/* Write all dirty blocks that nobody is changing: only the superblock, or all
 * but the superblock.
 */
int bm_write_out (struct block_manager *bm, bool superblock);

#endif /* NBDM_BLOCK_MANAGER_INTERNAL_H */
