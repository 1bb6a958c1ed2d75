/* SPDX-License-Identifier: BSD-3-Clause */
/* The control plane's own joints: loop.c, loop-jobs.c, control*.c. */

#ifndef NBDM_LOOP_H
#define NBDM_LOOP_H

#include <stdbool.h>

#include <ev.h>

#include "common/list.h"
#include "common/message.h"
#include "server/edge.h"

/* One loop in the process, so none of this has a handle.  The loop thread
 * never blocks: what may block is a job, which runs on a verb thread.
 */

/* ------------------------------------------------------------------
 * loop-jobs.c
 */

/* Something to do on the loop thread.  Initialise link with list_init. */
struct loop_task {
  struct list link;
  void (*fn) (struct loop_task *task);
};

/* Have fn called soon on the loop thread, once even if posted again before
 * that.  From any thread; does not block.
 */
void loop_post (struct loop_task *task);

/* On the loop thread: take it back if it has not been called yet. */
void loop_unpost (struct loop_task *task);

/* Something that may block; run gets a thread for itself, then done is
 * posted.
 */
struct loop_job {
  struct list link;
  void (*run) (struct loop_job *job);
  struct loop_task done;
};

/* So many threads at once; further jobs queue.  A verb may have to wait for
 * others to end their waits (a removal does), so these have their own; and what
 * waits for a resume must leave room for it.
 */
enum loop_job_class { LOOP_VERBS, LOOP_ENDINGS, LOOP_READS, LOOP_NR_CLASSES };
#define LOOP_MAX_VERBS 64
#define LOOP_MAX_ENDINGS 16
#define LOOP_MAX_READS 8

/* On the loop thread.  0, or -errno if there is no thread to run it, now or
 * later; then neither run nor done will be called.
 */
int loop_job_start (struct loop_job *job, enum loop_job_class class);

/* Before the loop thread starts, and after it and every job have ended;
 * jobs_stop joins the verb threads.
 */
void loop_jobs_init (struct ev_loop *ev);
void loop_jobs_exit (struct ev_loop *ev);

/* ------------------------------------------------------------------
 * control.c
 */

/* Before the loop thread starts: watch listen_fd, which it takes over also on
 * failure.  0 or -errno.
 */
int control_start (struct ev_loop *ev, const struct loop_config *config,
                   int listen_fd, struct message *msg);

/* On the loop thread: no more clients, verbs and waits broken off.  Then
 * loop_end_if_idle is called whenever control_is_idle may have come true.
 */
void control_stop (void);
bool control_is_idle (void);

/* After the loop thread has ended, or if it never began. */
void control_exit (void);

/* ------------------------------------------------------------------
 * control-listen.c
 */

/* Remove the socket that control_listen bound, unless the path is something
 * else by now.
 */
void control_unlink (const char *path);

/* How many connections there may be at once: half of the descriptors at most,
 * since NBD clients and files need some too.
 */
unsigned control_max_connections (void);

/* ------------------------------------------------------------------
 * control-textfile.c: the metrics in a file (path NULL: none), written anew at
 * once and from time to time, by a job.  Like control_*: start before the loop
 * thread, stop and is_idle on it, exit after it, which removes the file: what
 * is no more has no figures.
 */
void textfile_start (struct ev_loop *ev, struct registry *registry,
                     const char *path);
void textfile_stop (struct ev_loop *ev);
bool textfile_is_idle (void);
void textfile_exit (void);

/* ------------------------------------------------------------------
 * control-access.c
 */

/* What the other end of an accepted socket may do: our user and root all,
 * members of the group read, others nothing.
 */
enum control_access { CONTROL_NOTHING, CONTROL_READ, CONTROL_ALL };
enum control_access control_peer_access (int fd, gid_t group);

/* May who only reads give the command?  Of messages struct dm_ioctl_call's
 * only_reads then lets through what changes nothing.
 */
bool control_only_reads (uint32_t command);

/* ------------------------------------------------------------------
 * loop.c
 */

/* reload_run of the loop's configuration, of which the service manager is told.
 * On a verb thread.
 */
int loop_reload (char **report, struct message *msg);

/* On the loop thread: leave the loop if it is to stop and all has ended. */
void loop_end_if_idle (void);

#endif /* NBDM_LOOP_H */
