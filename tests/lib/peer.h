/* SPDX-License-Identifier: BSD-3-Clause */
/* A real nbdkit, a device that it is upstream of, and threads that use it. */

#ifndef NBDM_PEER_H
#define NBDM_PEER_H

#include <stdint.h>
#include <sys/types.h>

#include "server/bdev.h"

/* All functions fail the running test if the system refuses. */
extern struct peer {
  char dir[32];                /* its folder */
  char image[64];              /* 8 MiB: what it serves unless told */
  char sock[64];
  char uri[256];
  pid_t pid;                   /* 0: none */

  struct bdev_options options; /* zeroes at first */
  struct block_device *dev;    /* NULL: none */
  struct message msg;          /* of the last peer_try_open */
} peer;

/* For TestSuite; peer_tear_down closes and kills. */
void peer_set_up (void);
void peer_tear_down (void);

/* The plugin and what it serves, as most have it. */
#define PEER_FILE "file", peer.image

/* Start nbdkit and wait until it listens; skips the test if it ends at once.
 * args: what to serve other than just the image, NULL at its end.
 */
void peer_start (const char *const args[]);
void peer_kill (int sig); /* and wait for its end; nothing if there is none */
void peer_stop (void);    /* by SIGSTOP: it is silent from now on */

/* The device. */
int peer_try_open (const char *uri);
void peer_open (void);
void peer_start_and_open (const char *const args[]);
void peer_close (void);

/* bdev_submit; data may be NULL for ops without. */
int peer_io (enum bio_op op, unsigned flags, sector_t sector, sector_t len,
             char *data);
int peer_read (void); /* the first sectors of it */

/* As text: "D8 Z16" for 8 sectors of data and 16 of a hole; valid until the
 * next call.
 */
const char *peer_extents (sector_t sector, sector_t len);

/* Threads that write and read back, each its own blocks and several at once,
 * until joined or failed.
 */
void hammers_start (void);
void hammers_wait (unsigned n);  /* until each did n more rounds, or failed */
void hammers_join (int error);   /* the one that each is expected to have */

void sleep_ms (unsigned ms);

#endif /* NBDM_PEER_H */
