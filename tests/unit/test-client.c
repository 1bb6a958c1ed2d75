/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls over a socket whose other end answers what a test wants. */

#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clients/client.h"

/* The other end: reads requests and gives each the next answer. */
struct answer {
  uint32_t magic, error;
  uint32_t length;          /* UINT32_MAX: as long as the request */
  uint32_t data_size;       /* in the reply's header; 0: as in the request */
  uint32_t flags;
  const char *text;         /* instead of a struct dm_ioctl */
  const char *message;
  unsigned delay_ms;        /* before it comes */
};

static struct peer {
  int fd;
  const struct answer *answers;
  size_t n;
  uint32_t seen[8];         /* length of each request */
} peer;

static void
receive_all (int fd, void *data, size_t bytes)
{
  if (bytes > 0)
    cr_assert_eq (recv (fd, data, bytes, MSG_WAITALL), (ssize_t) bytes);
}

static void
peer_answer (const struct answer *a, char *buffer, uint32_t length)
{
  struct dm_ioctl *dmi = (struct dm_ioctl *) buffer;
  struct nbdm_reply head = {
    .magic = a->magic ? a->magic : NBDM_MAGIC,
    .error = a->error,
    .length = a->text ? strlen (a->text) :
      a->length == UINT32_MAX ? length : a->length,
    .message_length = a->message ? strlen (a->message) : 0,
  };

  usleep (a->delay_ms * 1000);
  if (a->text)
    memcpy (buffer, a->text, head.length);
  else {
    dmi->flags |= a->flags;
    if (a->data_size)
      dmi->data_size = a->data_size;
  }
  /* The client may have hung up on an earlier part: not this test's matter. */
  send (peer.fd, &head, sizeof head, MSG_NOSIGNAL);
  send (peer.fd, buffer, head.length, MSG_NOSIGNAL);
  if (a->message)
    send (peer.fd, a->message, head.message_length, MSG_NOSIGNAL);
}

static void *
peer_run (void *opaque)
{
  for (size_t i = 0; i < peer.n; i++) {
    struct nbdm_request head;
    char *buffer;

    receive_all (peer.fd, &head, sizeof head);
    peer.seen[i] = head.length;
    buffer = calloc (1, head.length + (1 << 20));
    receive_all (peer.fd, buffer, head.length);
    peer_answer (&peer.answers[i], buffer, head.length);
    free (buffer);
  }
  close (peer.fd);
  return NULL;
}

static pthread_t thread;
static struct client client;

static void
peer_start (const struct answer *answers, size_t n)
{
  int fds[2];

  cr_assert_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, fds), 0);
  client.fd = fds[0];
  peer = (struct peer) { .fd = fds[1], .answers = answers, .n = n };
  cr_assert_eq (pthread_create (&thread, NULL, peer_run, NULL), 0);
}

static void
peer_stop (void)
{
  client_close (&client);
  pthread_join (thread, NULL);
}

#define ANSWERS(...)                                            \
  peer_start ((const struct answer[]) { __VA_ARGS__ },          \
              sizeof ((const struct answer[]) { __VA_ARGS__ })  \
              / sizeof (struct answer))

TestSuite (client, .timeout = 20);

Test (client, a_reply_is_the_buffer_as_ioctl_would_leave_it)
{
  struct call call = { .request.name = "vol", .payload = "words",
                       .payload_bytes = 6 };

  ANSWERS ({ .length = sizeof (struct dm_ioctl) });
  cr_assert_eq (client_call (&client, DM_DEV_STATUS_CMD, &call), 0);
  cr_assert_eq (peer.seen[0], 16384);
  cr_assert_eq (call.reply_bytes, 16384);
  cr_assert_str_eq (call.reply->name, "vol");
  cr_assert_eq (call.reply->version[0], 4);
  /* What the server did not send is what the request had there. */
  cr_assert_str_eq ((char *) (call.reply + 1), "words");
  call_reset (&call);
  peer_stop ();
}

Test (client, a_full_buffer_is_doubled_until_it_is_not)
{
  struct call call = { .reply = NULL };

  ANSWERS ({ .length = UINT32_MAX, .flags = DM_BUFFER_FULL_FLAG },
           { .length = UINT32_MAX, .flags = DM_BUFFER_FULL_FLAG },
           { .length = UINT32_MAX });
  cr_assert_eq (client_call (&client, DM_LIST_DEVICES_CMD, &call), 0);
  cr_assert_eq (peer.seen[1], 2 * peer.seen[0]);
  cr_assert_eq (peer.seen[2], 4 * peer.seen[0]);
  cr_assert_eq (call.reply_bytes, peer.seen[2]);
  call_reset (&call);
  peer_stop ();
}

Test (client, a_payload_larger_than_a_frame_is_not_sent)
{
  struct call call = { .payload = "", .payload_bytes = NBDM_MAX_FRAME };

  client.fd = -1;
  cr_assert_eq (client_call (&client, DM_TABLE_LOAD_CMD, &call), -EMSGSIZE);
  call_reset (&call);
}

Test (client, the_servers_error_and_message_come_through)
{
  struct call call = { .reply = NULL };

  ANSWERS ({ .length = 0, .error = ENXIO, .message = "no such device" },
           { .length = UINT32_MAX });
  cr_assert_eq (client_call (&client, DM_DEV_STATUS_CMD, &call), -ENXIO);
  cr_assert_str_eq (call.message, "no such device");
  cr_assert_null (call.reply);
  call_reset (&call);
  /* The connection is good for the next one. */
  cr_assert_eq (client_call (&client, DM_DEV_STATUS_CMD, &call), 0);
  call_reset (&call);
  peer_stop ();
}

static void
expect_lost (int expected)
{
  struct call call = { .reply = NULL };

  cr_assert_eq (client_call (&client, DM_DEV_STATUS_CMD, &call), expected);
  cr_assert_not_null (call.message);
  cr_assert_null (call.reply);
  cr_assert_eq (client.fd, -1);
  call_reset (&call);
  peer_stop ();
}

Test (client, a_reply_longer_than_the_request_is_refused)
{
  ANSWERS ({ .length = 16385 });
  expect_lost (-EPROTO);
}

Test (client, a_reply_with_another_magic_is_refused)
{
  ANSWERS ({ .magic = 1 });
  expect_lost (-EPROTO);
}

Test (client, an_error_that_is_no_errno_is_refused)
{
  ANSWERS ({ .error = UINT32_MAX });
  expect_lost (-EPROTO);
}

Test (client, a_server_that_hangs_up_is_an_error)
{
  peer_start (NULL, 0);
  expect_lost (-ECONNRESET);
}

Test (client, a_data_size_beyond_the_buffer_is_refused)
{
  struct call call = { .reply = NULL };

  ANSWERS ({ .length = UINT32_MAX, .data_size = 16385 });
  cr_assert_eq (client_call (&client, DM_DEV_STATUS_CMD, &call), -EPROTO);
  cr_assert_null (call.reply);
  call_reset (&call);
  peer_stop ();
}

Test (client, a_failed_reload_has_a_report_too)
{
  struct own_call call = { .payload = NULL };

  ANSWERS ({ .text = "one step\n", .error = EINVAL, .message = "wrong" });
  cr_assert_eq (client_own_call (&client, NBDM_RELOAD, &call), -EINVAL);
  cr_assert_str_eq (call.reply, "one step\n");
  cr_assert_eq (call.reply_bytes, 9);
  cr_assert_str_eq (call.message, "wrong");
  own_call_reset (&call);
  peer_stop ();
}

Test (client, our_own_commands_may_have_a_payload)
{
  struct own_call call = { .payload = "payload", .payload_bytes = 7 };

  ANSWERS ({ .text = "" });
  cr_assert_eq (client_own_call (&client, NBDM_EXTENTS, &call), 0);
  cr_assert_eq (peer.seen[0], 7);
  cr_assert_str_eq (call.reply, "");
  own_call_reset (&call);
  peer_stop ();
}

static unsigned waited[8], waits;

static void
note_waiting (unsigned seconds)
{
  waited[waits++ % 8] = seconds;
}

Test (client, each_second_of_waiting_is_told_and_its_end)
{
  struct call call = { .reply = NULL };

  ANSWERS ({ .length = UINT32_MAX, .delay_ms = 1500 },
           { .length = UINT32_MAX });
  client.waiting = note_waiting;
  cr_assert_eq (client_call (&client, DM_DEV_STATUS_CMD, &call), 0);
  cr_assert_eq (waits, 2);
  cr_assert_eq (waited[0], 1);
  cr_assert_eq (waited[1], 0);
  call_reset (&call);
  /* What comes at once is not told. */
  cr_assert_eq (client_call (&client, DM_DEV_STATUS_CMD, &call), 0);
  cr_assert_eq (waits, 2);
  call_reset (&call);
  peer_stop ();
}

Test (client, the_socket_is_the_users_then_the_environments)
{
  char *path;

  setenv ("NBDM_CONTROL", "/from/env", 1);
  cr_assert_eq (client_socket_path ("/from/user", &path), 0);
  cr_assert_str_eq (path, "/from/user");
  free (path);
  cr_assert_eq (client_socket_path (NULL, &path), 0);
  cr_assert_str_eq (path, "/from/env");
  free (path);
}

Test (client, the_default_socket_is_below_the_runtime_folder)
{
  const char *expected = "/rt/nbdm/control";
  char *path;

  if (geteuid () == 0)
    expected = "/run/nbdm/control";
  unsetenv ("NBDM_CONTROL");
  setenv ("XDG_RUNTIME_DIR", "/rt", 1);
  cr_assert_eq (client_socket_path (NULL, &path), 0);
  cr_assert_str_eq (path, expected);
  free (path);
}

Test (client, a_path_too_long_for_an_address_is_refused)
{
  char path[200];

  memset (path, 'x', sizeof path - 1);
  path[sizeof path - 1] = '\0';
  client.fd = -1;
  cr_assert_eq (client_connect (&client, path), -ENAMETOOLONG);
  cr_assert_eq (client_connect (&client, "/nonexistent/socket"), -ENOENT);
}
