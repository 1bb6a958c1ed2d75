/* SPDX-License-Identifier: BSD-3-Clause */
/* Verb threads, and the way back from any thread to the loop. */

#include "server/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "common/lock.h"

struct jobs_class {
  unsigned max, running;  /* threads */
  struct list queue;      /* struct loop_job */
};

struct jobs_thread {
  struct list link;       /* jobs.threads */
  struct jobs_class *class;
  pthread_t id;
  bool ended;
};

static struct {
  struct ev_loop *ev;
  ev_async wake;

  struct latch latch;     /* guards what follows */
  struct list tasks;      /* struct loop_task, oldest first */
  struct list threads;    /* all that have not been joined */
  struct jobs_class classes[LOOP_NR_CLASSES];
} jobs = { .latch = LATCH_INIT };

/* ------------------------------------------------------------------
 * Tasks.
 */

void
loop_post (struct loop_task *task)
{
  latch_acquire (&jobs.latch);
  if (list_empty (&task->link))
    list_add_tail (&jobs.tasks, &task->link);
  latch_release (&jobs.latch);
  ev_async_send (jobs.ev, &jobs.wake);
}

void
loop_unpost (struct loop_task *task)
{
  ACQUIRE_LATCH_FOR_SCOPE (&jobs.latch);
  list_del (&task->link);
}

static struct loop_task *
jobs_next_task (void)
{
  struct loop_task *task;

  ACQUIRE_LATCH_FOR_SCOPE (&jobs.latch);
  if (list_empty (&jobs.tasks))
    return NULL;
  task = list_first (&jobs.tasks, struct loop_task, link);
  list_del (&task->link);
  return task;
}

/* ------------------------------------------------------------------
 * Threads.
 */

static struct jobs_thread *
jobs_next_ended (void)
{
  struct jobs_thread *thread;

  ACQUIRE_LATCH_FOR_SCOPE (&jobs.latch);
  list_for_each (thread, &jobs.threads, link)
    if (thread->ended) {
      list_del (&thread->link);
      return thread;
    }
  return NULL;
}

/* Threads are joined, never detached: the last instructions of a detached one
 * could still run when the plugin's code has been unmapped.
 */
static void
jobs_join_ended (void)
{
  struct jobs_thread *thread;

  while ((thread = jobs_next_ended ()) != NULL) {
    pthread_join (thread->id, NULL);
    free (thread);
  }
}

static void
jobs_woken (struct ev_loop *ev, ev_async *w, int revents)
{
  struct loop_task *task;

  jobs_join_ended ();
  while ((task = jobs_next_task ()) != NULL)
    task->fn (task);
}

/* The next job of the thread's class, or NULL: the thread has ended. */
static struct loop_job *
jobs_next_job (struct jobs_thread *self)
{
  struct loop_job *job;

  ACQUIRE_LATCH_FOR_SCOPE (&jobs.latch);
  if (list_empty (&self->class->queue)) {
    self->class->running--;
    self->ended = true;
    return NULL;
  }
  job = list_first (&self->class->queue, struct loop_job, link);
  list_del (&job->link);
  return job;
}

static void *
jobs_thread_main (void *opaque)
{
  struct jobs_thread *self = opaque;
  struct loop_job *job;
  sigset_t all;

  /* The loop thread, whose mask we have inherited, takes SIGHUP. */
  sigfillset (&all);
  pthread_sigmask (SIG_BLOCK, &all, NULL);
  while ((job = jobs_next_job (self)) != NULL) {
    job->run (job);
    loop_post (&job->done);
  }
  ev_async_send (jobs.ev, &jobs.wake);
  return NULL;
}

/* A thread that jobs.threads has from the start, so that it cannot end before
 * it is there.
 */
static int
jobs_thread_start (struct jobs_class *class)
{
  struct jobs_thread *thread = calloc (1, sizeof *thread);
  int err;

  if (thread == NULL)
    return -ENOMEM;
  thread->class = class;
  ACQUIRE_LATCH_FOR_SCOPE (&jobs.latch);
  err = pthread_create (&thread->id, NULL, jobs_thread_main, thread);
  if (err) {
    free (thread);
    return -err;
  }
  class->running++;
  list_add_tail (&jobs.threads, &thread->link);
  return 0;
}

int
loop_job_start (struct loop_job *job, enum loop_job_class nr)
{
  struct jobs_class *class = &jobs.classes[nr];
  unsigned running;
  int r;

  latch_acquire (&jobs.latch);
  list_add_tail (&class->queue, &job->link);
  running = class->running;
  latch_release (&jobs.latch);
  if (running == class->max)
    return 0;
  r = jobs_thread_start (class);
  if (r == 0)
    return 0;

  /* Those that run take it up when they are done, if there still are any. */
  ACQUIRE_LATCH_FOR_SCOPE (&jobs.latch);
  if (class->running > 0 || list_empty (&job->link))
    return 0;
  list_del (&job->link);
  return r;
}

/* ------------------------------------------------------------------ */

void
loop_jobs_init (struct ev_loop *ev)
{
  static const unsigned max[LOOP_NR_CLASSES] = {
    [LOOP_VERBS] = LOOP_MAX_VERBS, [LOOP_ENDINGS] = LOOP_MAX_ENDINGS,
    [LOOP_READS] = LOOP_MAX_READS,
  };
  unsigned i;

  list_init (&jobs.tasks);
  list_init (&jobs.threads);
  for (i = 0; i < LOOP_NR_CLASSES; i++) {
    jobs.classes[i].max = max[i];
    jobs.classes[i].running = 0;
    list_init (&jobs.classes[i].queue);
  }
  jobs.ev = ev;
  ev_async_init (&jobs.wake, jobs_woken);
  ev_async_start (ev, &jobs.wake);
}

/* All jobs are done, so every thread is about to end. */
void
loop_jobs_exit (struct ev_loop *ev)
{
  struct jobs_thread *thread, *next;

  list_for_each_safe (thread, next, &jobs.threads, link) {
    pthread_join (thread->id, NULL);
    free (thread);
  }
  list_init (&jobs.threads);
  ev_async_stop (ev, &jobs.wake);
}
