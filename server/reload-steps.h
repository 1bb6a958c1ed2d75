/* SPDX-License-Identifier: BSD-3-Clause */
/* Carrying out a plan on a registry, or undoing what was done of it. */

#ifndef NBDM_RELOAD_STEPS_H
#define NBDM_RELOAD_STEPS_H

#include <stdbool.h>
#include <stdio.h>

#include "common/lock.h"
#include "common/message.h"
#include "config/config.h"
#include "config/plan.h"
#include "server/dm-interface.h"

/* What breaks off the one suspend that a reload can be waiting in. */
struct reload_stop {
  struct latch latch;
  struct dm_wait *wait; /* that suspend's, or NULL */
  bool stopping;
};

void reload_stop_init (struct reload_stop *stop);
void reload_stop_destroy (struct reload_stop *stop);
void reload_stop_now (struct reload_stop *stop); /* any thread */

struct reload_job {
  struct registry *registry;
  const struct config *desired;
  struct plan *plan;            /* the counts are corrected for devices that
                                   turned out to be what they are */
  struct dm_backings *backings; /* those of desired */
  struct reload_stop *stop;
  bool check;                   /* of a scratch registry: lock no file, send no
                                   message */
  FILE *report;                 /* a line per step, logged too; NULL: neither */
};

/* See reload_run (server/edge.h): 0, or -errno with the registry as before.
 * msg is required, and empty.
 */
int reload_carry_out (const struct reload_job *job, struct message *msg);

/* One line to report and log. */
void reload_tell (FILE *report, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));

#endif /* NBDM_RELOAD_STEPS_H */
