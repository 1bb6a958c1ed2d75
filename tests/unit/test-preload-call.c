/* SPDX-License-Identifier: BSD-3-Clause */
/* ioctls that are answered over a socket, well or badly. */

#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/fs.h>

#include "clients/preload.h"
#include "common/protocol.h"

/* The server: reads one request of each connection, answers, hangs up. */
static struct server {
  int fd;
  char folder[32];
  struct sockaddr_un address;
  struct nbdm_reply head;
  _Alignas (8) char body[4096];
  size_t body_bytes;        /* that are sent, whatever head says */
  struct nbdm_request seen; /* the last one */
  pthread_t thread;
} server;

static void *
server_run (void *opaque)
{
  static char request[1 << 16];
  int fd;

  while ((fd = accept (server.fd, NULL, NULL)) >= 0) {
    if (recv (fd, &server.seen, sizeof server.seen, MSG_WAITALL) > 0) {
      recv (fd, request, server.seen.length, MSG_WAITALL);
      send (fd, &server.head, sizeof server.head, MSG_NOSIGNAL);
      send (fd, server.body, server.body_bytes, MSG_NOSIGNAL);
    }
    close (fd);
  }
  return NULL;
}

static void
server_start (void)
{
  strcpy (server.folder, "/tmp/nbdm-XXXXXX");
  cr_assert (mkdtemp (server.folder));
  server.address.sun_family = AF_UNIX;
  sprintf (server.address.sun_path, "%s/control", server.folder);
  server.fd = socket (AF_UNIX, SOCK_STREAM, 0);
  cr_assert_eq (bind (server.fd, (struct sockaddr *) &server.address,
                      sizeof server.address), 0);
  cr_assert_eq (listen (server.fd, 1), 0);
  server.head.magic = NBDM_MAGIC;
  setenv ("NBDM_CONTROL", server.address.sun_path, 1);
  unsetenv ("NBDM_QUIET");
  cr_assert_eq (pthread_create (&server.thread, NULL, server_run, NULL), 0);
  cr_redirect_stderr ();
}

static void
server_stop (void)
{
  shutdown (server.fd, SHUT_RDWR);
  pthread_join (server.thread, NULL);
  unlink (server.address.sun_path);
  rmdir (server.folder);
}

/* Answer with a header that has this data_size, and so many bytes of it. */
static void
answer (uint32_t data_size, size_t bytes)
{
  struct dm_ioctl dmi = { .version = { 4, 47, 0 }, .data_size = data_size,
                          .data_start = sizeof dmi };

  memcpy (server.body, &dmi, sizeof dmi);
  server.head.length = server.body_bytes = bytes;
}

/* An ioctl with a buffer of 400 bytes, all 0x55 behind the header. */
static int
try (unsigned command, char buffer[400])
{
  struct dm_ioctl dmi = { .version = { 4 }, .data_size = 400,
                          .data_start = sizeof dmi };

  memset (buffer, 0x55, 400);
  memcpy (buffer, &dmi, sizeof dmi);
  return preload_control_ioctl (-1,
                                _IOWR (DM_IOCTL, command, struct dm_ioctl),
                                (struct dm_ioctl *) buffer);
}

static void
fails_with (int err)
{
  char buffer[400];

  cr_assert_eq (try (DM_TABLE_STATUS_CMD, buffer), -1);
  cr_assert_eq (errno, err, "%s", strerror (errno));
}

TestSuite (preload_call, .init = server_start, .fini = server_stop,
           .timeout = 20);

Test (preload_call, the_reply_lies_in_the_callers_buffer)
{
  char buffer[400];
  const struct dm_ioctl *dmi = (struct dm_ioctl *) buffer;

  answer (330, 330);
  cr_assert_eq (try (DM_LIST_DEVICES_CMD, buffer), 0);
  cr_assert_eq (dmi->version[1], 47);
  cr_assert_eq (dmi->data_size, 330);
  cr_assert_eq (buffer[330], 0x55);
  cr_assert_eq (server.seen.command, DM_LIST_DEVICES_CMD);
  cr_assert_eq (server.seen.length, 400);
}

Test (preload_call, a_size_too_small_still_sends_a_header)
{
  struct dm_ioctl dmi = { .version = { 4 }, .data_size = 7 };

  answer (305, 305);
  cr_assert_eq (preload_control_ioctl (-1, DM_VERSION, &dmi), 0);
  cr_assert_eq (server.seen.length, 305);
}

Test (preload_call, a_size_beyond_all_frames_is_no_memory)
{
  struct dm_ioctl dmi = { .data_size = NBDM_MAX_FRAME + 1 };

  cr_assert_eq (preload_control_ioctl (-1, DM_DEV_STATUS, &dmi), -1);
  cr_assert_eq (errno, ENOMEM);
}

Test (preload_call, what_is_no_request_of_the_device_mapper_is_refused)
{
  struct dm_ioctl dmi = { .data_size = sizeof dmi };

  cr_assert_eq (preload_control_ioctl (-1, BLKGETSIZE64, &dmi), -1);
  cr_assert_eq (errno, ENOTTY);
  cr_assert_eq (preload_control_ioctl (-1, DM_VERSION, NULL), -1);
  cr_assert_eq (errno, EFAULT);
}

Test (preload_call, the_servers_reason_is_said)
{
  strcpy (server.body, "no such luck");
  server.head.error = EBUSY;
  server.head.message_length = server.body_bytes = strlen (server.body);
  fails_with (EBUSY);
  fflush (stderr);
  cr_assert_stderr_eq_str ("nbdm: no such luck\n");
}

Test (preload_call, no_reason_is_said_if_none_is_wanted)
{
  setenv ("NBDM_QUIET", "1", 1);
  strcpy (server.body, "no such luck");
  server.head.error = EBUSY;
  server.head.message_length = server.body_bytes = strlen (server.body);
  fails_with (EBUSY);
  fflush (stderr);
  cr_assert_stderr_eq_str ("");
}

Test (preload_call, a_missing_device_is_an_answer_not_a_failure)
{
  strcpy (server.body, "no such device");
  server.head.error = ENXIO;
  server.head.message_length = server.body_bytes = strlen (server.body);
  fails_with (ENXIO);
  fflush (stderr);
  cr_assert_stderr_eq_str ("");
}

Test (preload_call, a_reply_longer_than_the_buffer_is_refused)
{
  answer (401, 401);
  fails_with (EPROTO);
}

Test (preload_call, a_reply_with_another_magic_is_refused)
{
  answer (305, 305);
  server.head.magic = 0;
  fails_with (EPROTO);
}

Test (preload_call, an_endless_reason_is_refused)
{
  answer (305, 305);
  server.head.message_length = UINT32_MAX;
  fails_with (EPROTO);
}

Test (preload_call, a_reply_that_breaks_off_is_an_error)
{
  answer (305, 305);
  server.body_bytes = 200;
  fails_with (ECONNRESET);
}

Test (preload_call, a_node_ends_where_its_last_target_does)
{
  struct dm_target_spec spec = { .sector_start = 0, .length = 8, .next = 48 };
  uint64_t bytes;

  answer (312 + 48 + 41, 312 + 48 + 41);
  ((struct dm_ioctl *) server.body)->target_count = 2;
  memcpy (server.body + 312, &spec, sizeof spec);
  spec.sector_start = 8;
  spec.length = 92;
  memcpy (server.body + 312 + 48, &spec, sizeof spec);
  cr_assert_eq (preload_node_ioctl (0, BLKGETSIZE64, &bytes), 0);
  cr_assert_eq (bytes, 51200);
}

Test (preload_call, targets_beyond_the_reply_are_not_looked_at)
{
  struct dm_target_spec spec = { .length = 8, .next = UINT32_MAX };
  uint64_t bytes;

  answer (353, 353);
  ((struct dm_ioctl *) server.body)->target_count = UINT32_MAX;
  memcpy (server.body + 312, &spec, sizeof spec);
  cr_assert_eq (preload_node_ioctl (0, BLKGETSIZE64, &bytes), 0);
  cr_assert_eq (bytes, 4096);
}
