/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket, its clients and the loop under it. */

#include <criterion/criterion.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/lock.h"
#include "common/protocol.h"
#include "server/dm-core.h"
#include "server/edge.h"
#include "tests/lib/folder.h"
#include "tests/lib/frame.h"
#include "tests/lib/memdev.h"
#include "tests/lib/request.h"

#define MANY 1000

static struct folder folder;
static char path[sizeof folder.path + 32];
static struct registry *reg;
static struct reload *reload;
static struct memdev *mem;
static pthread_t writer;

static void
block_hangup (void)
{
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGHUP);
  pthread_sigmask (SIG_BLOCK, &set, NULL);
}

static void
start (void)
{
  struct loop_config config = { reg, reload, path };
  int fd;

  cr_assert_eq (control_listen (path, &fd, NULL), 0);
  cr_assert_eq (loop_start (&config, fd, NULL), 0);
}

static void
setup (void)
{
  folder_make (&folder);
  snprintf (path, sizeof path, "%s/control", folder.path);
  block_hangup ();
  reg = registry_new ();
  reload = reload_new (reg, NULL);
  mem = memdev_add ("mem", 64);
  start ();
}

static void
teardown (void)
{
  loop_stop ();
  registry_shutdown (reg, 0);
  reload_free (reload);
  registry_free (reg);
  memdev_remove (mem);
  folder_remove (&folder);
}

TestSuite (control, .init = setup, .fini = teardown, .timeout = 60);

/* ------------------------------------------------------------------
 * A client.
 */

static int
client (void)
{
  int fd = frame_connect (path);

  cr_assert_geq (fd, 0, "%s", strerror (-fd));
  return fd;
}

static bool
is_closed (int fd)
{
  char c;
  ssize_t n = recv (fd, &c, 1, 0);

  return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void
send_named (int fd, uint32_t command, const char *name, uint32_t flags)
{
  struct dm_ioctl *request = request_new (1024, name);

  request->flags = flags;
  frame_send (fd, command, request, request->data_size);
  free (request);
}

/* One command on a connection of its own. */
static int
ask (uint32_t command, const char *name, uint32_t flags)
{
  int fd = client (), r;

  send_named (fd, command, name, flags);
  r = frame_receive (fd, NULL, 0, NULL);
  close (fd);
  return r;
}

static void
pause_ms (long ms)
{
  struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

  nanosleep (&t, NULL);
}

/* ------------------------------------------------------------------
 * A device whose suspend takes as long as we like.
 */

static void
make_device (const char *table)
{
  char text[64];
  struct dm_target_line line = { 0, 64, text, NULL };

  snprintf (text, sizeof text, "%s", table);
  line.params = strchr (text, ' ');
  *line.params++ = '\0';
  cr_assert_eq (dm_device_create (reg, "a", "", 0, 0, NULL, NULL), 0);
  cr_assert_eq (dm_table_load (reg, DM_REF_NAME ("a"), 0, &line, 1, NULL, NULL,
                               NULL), 0);
  cr_assert_eq (dm_device_resume (reg, DM_REF_NAME ("a"), 0, NULL, NULL, NULL),
                0);
}

static void *
write_slowly (void *opaque)
{
  struct mapped_device *md;
  char data[512] = "";
  struct bio bio = { .op = BIO_WRITE, .len = 1, .data = data };

  if (dm_open (reg, "a", &md, NULL) < 0)
    return "open";
  bio.bdev = dm_block_device (md);
  if (bdev_submit (bio.bdev, &bio) < 0)
    return "write";
  dm_close (md);
  return NULL;
}

static void
begin_slow_write (void)
{
  mem->stalled = true;
  cr_assert_eq (pthread_create (&writer, NULL, write_slowly, NULL), 0);
  while (mem->waiting == 0)
    pause_ms (1);
}

static void
end_slow_write (void)
{
  void *failed;

  mem->stalled = false;
  pthread_join (writer, &failed);
  cr_assert_null (failed, "%s failed", (char *) failed);
}

static bool
is_suspended (void)
{
  struct dm_info info;

  cr_assert_eq (dm_device_info (reg, DM_REF_NAME ("a"), 0, &info, NULL), 0);
  return info.flags & DM_SUSPEND_FLAG;
}

/* ------------------------------------------------------------------
 * Where the socket is.
 */

Test (control, the_socket_goes_with_the_loop)
{
  loop_stop ();
  cr_assert_eq (frame_connect (path), -ENOENT);
  loop_stop ();
  start ();
  cr_assert_eq (ask (DM_VERSION_CMD, "", 0), 0);
}

Test (control, a_socket_of_another_server_stays)
{
  unlink (path);
  close (open (path, O_CREAT | O_WRONLY, 0600));
  loop_stop ();
  cr_assert_eq (access (path, F_OK), 0);
}

/* ------------------------------------------------------------------
 * Frames.
 */

Test (control, requests_are_answered_in_order)
{
  struct dm_ioctl *request = request_new (400, "a"), reply;
  int fd = client ();

  frame_send (fd, DM_DEV_CREATE_CMD, request, 400);
  frame_send (fd, DM_DEV_CREATE_CMD, request, 400);
  frame_send (fd, DM_DEV_STATUS_CMD, request, 400);
  cr_assert_eq (frame_receive (fd, &reply, sizeof reply, NULL), 0);
  cr_assert_str_eq (reply.name, "a");
  cr_assert_eq (frame_receive (fd, NULL, 0, NULL), -EBUSY);
  cr_assert_eq (frame_receive (fd, &reply, sizeof reply, NULL), 0);
  cr_assert_eq (reply.data_size, 305);
  close (fd);
  free (request);
}

Test (control, an_error_comes_with_its_reason)
{
  char text[1024] = "";
  int fd = client ();

  frame_send (fd, 0x999, NULL, 0);
  cr_assert_eq (frame_receive (fd, NULL, 0, text), -ENOTTY);
  cr_assert_neq (text[0], '\0');
  close (fd);
}

Test (control, our_own_commands_speak_text)
{
  char text[1024] = "";
  int fd = client ();

  frame_send (fd, NBDM_DUMP, NULL, 0);
  cr_assert_eq (frame_receive (fd, text, sizeof text, NULL), 0);
  cr_assert_neq (text[0], '\0');
  frame_send (fd, NBDM_RELOAD_STATUS, NULL, 0);
  cr_assert_eq (frame_receive (fd, NULL, 0, NULL), -ENODATA);
  frame_send (fd, NBDM_RELOAD, NULL, 0);
  cr_assert_eq (frame_receive (fd, NULL, 0, NULL), -ENOENT);
  close (fd);
}

static void
refused (struct nbdm_request frame)
{
  int fd = client ();

  frame_send_bytes (fd, &frame, sizeof frame);
  cr_expect_eq (frame_receive (fd, NULL, 0, NULL), -EPROTO);
  cr_expect (is_closed (fd));
  close (fd);
}

Test (control, what_is_no_frame_ends_the_connection)
{
  refused ((struct nbdm_request) { NBDM_MAGIC + 1, 0, 0, 0 });
  refused ((struct nbdm_request) { NBDM_MAGIC, 0, NBDM_MAX_FRAME + 1, 0 });
  refused ((struct nbdm_request) { NBDM_MAGIC, 0, UINT32_MAX, 0 });
  refused ((struct nbdm_request) { NBDM_MAGIC, 0, 0, 1 });
}

Test (control, frames_may_come_in_any_pieces_or_end_anywhere)
{
  struct dm_ioctl *request = request_new (320, "");
  char bytes[sizeof (struct nbdm_request) + 320];
  struct nbdm_request frame = { NBDM_MAGIC, DM_LIST_DEVICES_CMD, 320, 0 };
  size_t n, i;
  int fd;

  memcpy (bytes, &frame, sizeof frame);
  memcpy (bytes + sizeof frame, request, 320);
  for (n = 0; n <= sizeof bytes; n += 21) {
    fd = client ();
    for (i = 0; i < n; i++)
      frame_send_bytes (fd, bytes + i, 1);
    if (n == sizeof bytes)
      cr_assert_eq (frame_receive (fd, NULL, 0, NULL), 0);
    close (fd);
  }
  cr_assert_eq (ask (DM_VERSION_CMD, "", 0), 0);
  free (request);
}

Test (control, random_bytes_do_no_harm)
{
  unsigned i, j;

  srand (2);
  for (i = 0; i < 2000; i++) {
    uint32_t words[32];
    int fd = client ();

    for (j = 0; j < 32; j++)
      words[j] = rand () % 4 ? (uint32_t) rand () : (uint32_t) rand () % 64;
    if (i % 4) {
      words[0] = NBDM_MAGIC;
      words[1] %= 0x200;
      words[2] %= 256;
      words[3] = 0;
    }
    send (fd, words, sizeof words, MSG_NOSIGNAL);
    close (fd);
  }
  cr_assert_eq (ask (DM_VERSION_CMD, "", 0), 0);
}

/* ------------------------------------------------------------------
 * Waiting.
 */

Test (control, hanging_up_breaks_off_a_suspend)
{
  int fd;

  make_device ("linear mem 0");
  begin_slow_write ();
  fd = client ();
  send_named (fd, DM_DEV_SUSPEND_CMD, "a", DM_SUSPEND_FLAG);
  /* A further request hides the end of file behind it. */
  send_named (fd, DM_VERSION_CMD, "", 0);
  pause_ms (100);
  close (fd);
  /* Would have to wait for the other one to end. */
  cr_assert_eq (ask (DM_DEV_SUSPEND_CMD, "a", 0), 0);
  cr_assert_not (is_suspended ());
  end_slow_write ();
}

Test (control, a_suspend_that_nobody_breaks_off_waits)
{
  int fd;

  make_device ("linear mem 0");
  begin_slow_write ();
  fd = client ();
  send_named (fd, DM_DEV_SUSPEND_CMD, "a", DM_SUSPEND_FLAG);
  pause_ms (50);
  end_slow_write ();
  cr_assert_eq (frame_receive (fd, NULL, 0, NULL), 0);
  cr_assert (is_suspended ());
  close (fd);
}

Test (control, the_end_breaks_off_whatever_waits)
{
  int suspender, waiter;

  make_device ("linear mem 0");
  begin_slow_write ();
  suspender = client ();
  waiter = client ();
  send_named (suspender, DM_DEV_SUSPEND_CMD, "a", DM_SUSPEND_FLAG);
  send_named (waiter, DM_DEV_WAIT_CMD, "a", 0);
  pause_ms (50);
  loop_stop ();
  cr_assert_eq (frame_receive (suspender, NULL, 0, NULL), -EINTR);
  cr_assert_eq (frame_receive (waiter, NULL, 0, NULL), -EINTR);
  cr_assert_not (is_suspended ());
  end_slow_write ();
  close (suspender);
  close (waiter);
}

static void
write_tables (const char *table)
{
  char text[128];

  snprintf (text, sizeof text, "devices:\n  a:\n    table: %s\n", table);
  folder_write (&folder, "tables.yaml", text);
}

Test (control, the_end_breaks_off_a_reload)
{
  char tables[sizeof path];
  int fd;

  snprintf (tables, sizeof tables, "%s/tables.yaml", folder.path);
  loop_stop ();
  reload_free (reload);
  write_tables ("0 64 linear mem 0");
  reload = reload_new (reg, tables);
  cr_assert_eq (reload_run (reload, NULL, NULL), 0);
  start ();
  begin_slow_write ();
  write_tables ("0 64 zero");
  fd = client ();
  frame_send (fd, NBDM_RELOAD, NULL, 0);
  pause_ms (100);
  loop_stop ();
  cr_assert_eq (frame_receive (fd, NULL, 0, NULL), -EINTR);
  cr_assert_not (is_suspended ());
  end_slow_write ();
  close (fd);
}

Test (control, clients_do_not_wait_for_each_other)
{
  struct nbdm_request frame = { NBDM_MAGIC, DM_VERSION_CMD, 400, 0 };
  int suspender, silent, deaf, i;
  uint64_t begin;

  make_device ("linear mem 0");
  begin_slow_write ();
  suspender = client ();
  send_named (suspender, DM_DEV_SUSPEND_CMD, "a", DM_SUSPEND_FLAG);
  silent = client ();
  frame_send_bytes (silent, &frame, sizeof frame);
  deaf = client (); /* takes no answer, until the server cannot send any */
  fcntl (deaf, F_SETFL, O_NONBLOCK);
  for (i = 0; i < 10000; i++) {
    char request[sizeof frame + 400] = "";

    memcpy (request, &frame, sizeof frame);
    if (send (deaf, request, sizeof request, MSG_NOSIGNAL) < 0)
      break;
  }
  begin = monotonic_ns ();
  for (i = 0; i < 100; i++)
    cr_assert_eq (ask (DM_DEV_STATUS_CMD, "a", 0), 0);
  cr_assert_lt (monotonic_ns () - begin, 5000000000);
  end_slow_write ();
  cr_assert_eq (frame_receive (suspender, NULL, 0, NULL), 0);
  close (suspender);
  close (silent);
  close (deaf);
}

static unsigned
count_threads (void)
{
  DIR *dir = opendir ("/proc/self/task");
  struct dirent *entry;
  unsigned n = 0;

  while ((entry = readdir (dir)) != NULL)
    n += entry->d_name[0] != '.';
  closedir (dir);
  return n;
}

static unsigned
count_waiters (void)
{
  struct mapped_device *md = registry_find_name (reg, "a");
  struct list *pos;
  unsigned n = 0;

  cr_assert_not_null (md);
  latch_acquire (&md->lock);
  for (pos = md->event_waiters.next; pos != &md->event_waiters;
       pos = pos->next)
    n++;
  latch_release (&md->lock);
  md_put (md);
  return n;
}

static void
start_waiters (int fds[MANY])
{
  struct rlimit limit = { 4096, 4096 };
  unsigned i;

  if (setrlimit (RLIMIT_NOFILE, &limit) < 0)
    cr_skip ("needs 4096 descriptors");
  loop_stop ();
  start (); /* it looks at the limit once */
  make_device ("error ");
  for (i = 0; i < MANY; i++) {
    fds[i] = client ();
    send_named (fds[i], DM_DEV_WAIT_CMD, "a", 0);
  }
  while (count_waiters () < MANY)
    pause_ms (10);
}

static void
expect_event (int fds[MANY], uint32_t event_nr)
{
  struct dm_ioctl reply;
  unsigned i;

  for (i = 0; i < MANY; i++) {
    cr_assert_eq (frame_receive (fds[i], &reply, sizeof reply, NULL), 0);
    cr_assert_eq (reply.event_nr, event_nr);
    cr_assert_str_eq (reply.name, "a");
    close (fds[i]);
  }
}

Test (control, a_thousand_waiters_need_no_threads)
{
  unsigned before = count_threads ();
  static int fds[MANY];

  start_waiters (fds);
  /* Those that began the waits may need a moment to end. */
  while (count_threads () > before)
    pause_ms (10);
  cr_assert_eq (dm_device_rename (reg, "a", "b", 0, NULL, NULL), 0);
  expect_event (fds, 1);
}

Test (control, a_removal_lets_a_thousand_waiters_go)
{
  static int fds[MANY];

  start_waiters (fds);
  cr_assert_eq (ask (DM_DEV_REMOVE_CMD, "a", 0), 0);
  expect_event (fds, 1);
}

Test (control, hanging_up_ends_a_wait)
{
  int fd = client ();

  make_device ("error ");
  send_named (fd, DM_DEV_WAIT_CMD, "a", 0);
  pause_ms (50);
  close (fd);
  /* Blocks until no one waits. */
  cr_assert_eq (ask (DM_DEV_REMOVE_CMD, "a", 0), 0);
}

/* ------------------------------------------------------------------
 * Polling.
 */

static bool
is_readable (int fd, int timeout_ms)
{
  struct pollfd p = { .fd = fd, .events = POLLIN };

  return poll (&p, 1, timeout_ms) == 1;
}

static void
arm (int fd)
{
  send_named (fd, DM_DEV_ARM_POLL_CMD, "", 0);
  cr_assert_eq (frame_receive (fd, NULL, 0, NULL), 0);
}

static void
expect_word_of_event (int fd)
{
  struct nbdm_reply word;

  cr_assert (is_readable (fd, 10000));
  cr_assert_eq (recv (fd, &word, sizeof word, MSG_WAITALL), sizeof word);
  cr_assert_eq (word.magic, NBDM_EVENT_MAGIC);
  cr_assert (word.error == 0 && word.length == 0 && word.message_length == 0);
}

static void
raise_event (void)
{
  static bool toggled;
  const char *names[] = { "a", "b" };

  cr_assert_eq (dm_device_rename (reg, names[toggled], names[!toggled], 0,
                                  NULL, NULL), 0);
  toggled = !toggled;
}

Test (control, an_armed_connection_is_told_of_one_event)
{
  int fd = client (), other = client ();

  make_device ("error ");
  arm (fd);
  cr_assert_not (is_readable (fd, 50));
  raise_event ();
  expect_word_of_event (fd);
  raise_event ();
  cr_assert_not (is_readable (fd, 50));
  cr_assert_not (is_readable (other, 0));
  arm (fd);
  cr_assert_not (is_readable (fd, 50));
  raise_event ();
  expect_word_of_event (fd);
  close (fd);
  close (other);
}

Test (control, what_happens_during_a_request_is_told_after_it)
{
  int fd = client ();

  make_device ("error ");
  arm (fd);
  send_named (fd, DM_DEV_WAIT_CMD, "a", 0);
  while (count_waiters () == 0)
    pause_ms (1);
  raise_event ();
  cr_assert_eq (frame_receive (fd, NULL, 0, NULL), 0);
  expect_word_of_event (fd);
  close (fd);
}

Test (control, a_thousand_that_poll_need_no_threads)
{
  struct rlimit limit = { 4096, 4096 };
  unsigned before = count_threads (), i;
  static int fds[MANY];

  if (setrlimit (RLIMIT_NOFILE, &limit) < 0)
    cr_skip ("needs 4096 descriptors");
  loop_stop ();
  start ();
  make_device ("error ");
  for (i = 0; i < MANY; i++)
    arm (fds[i] = client ());
  while (count_threads () > before)
    pause_ms (10);
  raise_event ();
  for (i = 0; i < MANY; i++) {
    expect_word_of_event (fds[i]);
    close (fds[i]);
  }
}

Test (control, sighup_reloads)
{
  unsigned i;

  cr_assert_eq (ask (NBDM_RELOAD_STATUS, "", 0), -ENODATA);
  for (i = 0; i < 50; i++)
    kill (getpid (), SIGHUP);
  for (i = 0; i < 100; i++) {
    if (ask (NBDM_RELOAD_STATUS, "", 0) != -ENODATA)
      break;
    pause_ms (20);
  }
  cr_assert_eq (ask (NBDM_RELOAD_STATUS, "", 0), -ENOENT);
}
