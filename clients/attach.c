/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdm-attach: exports as block devices of this kernel, by their names. */

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <libnbd.h>
#include <linux/nbd.h>

#include "clients/client.h"
#include "clients/nbd-netlink.h"
#include "common/cleanup.h"

#define LINKS "/dev/nbdm"

/* What is new since <linux/nbd.h> was written. */
#define FLAG_ROTATIONAL 16

static struct {
  const char *name;          /* else the export's */
  const char *uri;           /* of the export; or, without a scheme, its name */
  const char *device;        /* which is wanted, or NULL */
  const char *control;
  bool foreground, readonly;
  unsigned interval;         /* seconds between looks at the size; 0: never */
  unsigned dead;             /* seconds that I/O waits for a lost server */
} options = { .interval = 5, .dead = 3600 };

static bool in_background;

extern char **environ;

__attribute__ ((format (printf, 2, 3)))
static void
tell (int priority, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  if (in_background)
    vsyslog (priority, format, args);
  else {
    fprintf (stderr, "nbdm-attach: ");
    vfprintf (stderr, format, args);
    fputc ('\n', stderr);
  }
  va_end (args);
}

/* ------------------------------------------------------------------
 * Links and devices.
 */
static int
link_path (const char *name, char path[PATH_MAX])
{
  if (*name == '\0' || *name == '.' || strchr (name, '/') ||
      strlen (name) > NAME_MAX) {
    tell (LOG_ERR, "'%s' cannot be the name of a link; choose another with "
          "--name", name);
    return -EINVAL;
  }
  snprintf (path, PATH_MAX, LINKS "/%s", name);
  return 0;
}

/* Where the link of that name leads; -ENOENT. */
static int
link_read (const char *name, uint32_t *index)
{
  char path[PATH_MAX], target[32];
  ssize_t n;

  if (link_path (name, path) < 0)
    return -EINVAL;
  n = readlink (path, target, sizeof target - 1);
  if (n < 0)
    return -errno;
  target[n] = '\0';
  return sscanf (target, "../nbd%u", index) == 1 ? 0 : -ENOENT;
}

static int
link_make (const char *name, uint32_t index)
{
  char path[PATH_MAX], target[32];

  if (link_path (name, path) < 0)
    return -EINVAL;
  snprintf (target, sizeof target, "../nbd%u", index);
  if (mkdir (LINKS, 0755) < 0 && errno != EEXIST)
    return -errno;
  unlink (path);
  return symlink (target, path) < 0 ? -errno : 0;
}

static void
link_remove (const char *name)
{
  char path[PATH_MAX];

  if (link_path (name, path) == 0)
    unlink (path);
}

/* The kernel has the device connected, or waits for its next connection. */
static bool
device_is_attached (uint32_t index)
{
  char path[64];

  snprintf (path, sizeof path, "/sys/block/nbd%u/pid", index);
  return access (path, F_OK) == 0;
}

/* -1 if that cannot be told. */
static long long
device_number (uint32_t index, const char *file)
{
  char path[64];
  long long n = -1;
  FILE *CLEANUP_FCLOSE fp = NULL;

  snprintf (path, sizeof path, "/sys/block/nbd%u/%s", index, file);
  fp = fopen (path, "re");
  if (fp && fscanf (fp, "%lld", &n) != 1)
    n = -1;
  return n;
}

/* ------------------------------------------------------------------
 * The export.
 */
static uint64_t
export_flags (struct nbd_handle *nbd)
{
  uint64_t flags = NBD_FLAG_HAS_FLAGS;

  if (options.readonly || nbd_is_read_only (nbd) > 0)
    flags |= NBD_FLAG_READ_ONLY;
  if (nbd_can_flush (nbd) > 0)
    flags |= NBD_FLAG_SEND_FLUSH;
  if (nbd_can_fua (nbd) > 0)
    flags |= NBD_FLAG_SEND_FUA;
  if (nbd_can_trim (nbd) > 0)
    flags |= NBD_FLAG_SEND_TRIM;
  if (nbd_is_rotational (nbd) > 0)
    flags |= FLAG_ROTATIONAL;
  return flags;
}

/* As large as the server wants it, and as the kernel can have it. */
static uint64_t
export_block_bytes (struct nbd_handle *nbd)
{
  int64_t bytes = nbd_get_block_size (nbd, LIBNBD_SIZE_MINIMUM);

  return bytes < 512 ? 512 : bytes > 4096 ? 4096 : bytes;
}

/* The server's socket for clients, malloc'ed: where nbdm@.service, nbdm.socket
 * and ./serve have it, beside the control socket or its folder.
 */
static char *
socket_path (void)
{
  static const char *const names[] = { "/nbd.sock", ".sock", "/nbd", NULL };
  char *CLEANUP_FREE control = NULL;
  char *slash, *path = NULL;

  if (client_socket_path (options.control, &control) < 0)
    return NULL;
  slash = strrchr (control, '/');
  for (size_t i = 0; names[i]; i++) {
    free (path);
    if (asprintf (&path, "%.*s%s", slash ? (int) (slash - control) : 1,
                  slash ? control : ".", names[i]) < 0)
      return NULL;
    if (access (path, F_OK) == 0)
      break;
  }
  return path;
}

static int
connect_export (struct nbd_handle *nbd)
{
  char *CLEANUP_FREE path = NULL;

  if (strstr (options.uri, "://"))
    return nbd_connect_uri (nbd, options.uri);
  path = socket_path ();
  if (path == NULL || nbd_set_export_name (nbd, options.uri) < 0)
    return -1;
  return nbd_connect_unix (nbd, path);
}

/* A handle whose handshake is done, and what it tells; NULL and *error (with
 * the libnbd's words for it) if that fails.  The kernel speaks the simple form
 * of the protocol only, and without TLS.
 */
static struct nbd_handle *
export_connect (struct nbd_device *device, char error[256])
{
  struct nbd_handle *nbd = nbd_create ();
  int64_t size;

  if (nbd == NULL || nbd_set_request_structured_replies (nbd, false) < 0 ||
      nbd_set_uri_allow_tls (nbd, LIBNBD_TLS_DISABLE) < 0 ||
      nbd_set_uri_allow_local_file (nbd, false) < 0 ||
      connect_export (nbd) < 0 ||
      (size = nbd_get_size (nbd)) < 0) {
    snprintf (error, 256, "%s: %s", options.uri, nbd_get_error () ?
              nbd_get_error () : "no control socket, and so no server");
    nbd_close (nbd);
    return NULL;
  }
  device->size_bytes = size;
  device->block_bytes = export_block_bytes (nbd);
  device->server_flags = export_flags (nbd);
  return nbd;
}

/* ------------------------------------------------------------------
 * Watching over an attached device.
 */
struct watch {
  struct nbd_netlink link;
  struct nbd_device device;
  struct nbd_handle *nbd;  /* only its socket is used, by the kernel */
};

static void
watch_resize (struct watch *w, const struct nbd_device *device)
{
  int r = nbd_netlink_resize (&w->link, device);

  if (r < 0)
    tell (LOG_ERR, "cannot give nbd%u its new size: %s", device->index,
          strerror (-r));
  else
    tell (LOG_INFO, "nbd%u now has %llu bytes", device->index,
          (unsigned long long) device->size_bytes);
  w->device = *device; /* not again */
}

/* Put another connection in the place of one that is lost.  1: done, 0: not
 * yet, -errno: the device has been detached.
 */
static int
watch_reconnect (struct watch *w)
{
  struct nbd_device device = w->device;
  char error[256];
  struct nbd_handle *nbd = export_connect (&device, error);
  int r;

  if (nbd == NULL)
    return 0;
  r = nbd_netlink_reconnect (&w->link, device.index, nbd_aio_get_fd (nbd));
  if (r < 0) {
    nbd_close (nbd);
    return r == -ENOSPC ? 0 : r;
  }
  nbd_close (w->nbd);
  w->nbd = nbd;
  if (device.size_bytes != w->device.size_bytes)
    watch_resize (w, &device);
  return 1;
}

/* The connection is lost, to the kernel as well. */
static int
watch_lost (struct watch *w)
{
  bool told = false;
  int r;

  while (device_is_attached (w->device.index)) {
    r = watch_reconnect (w);
    if (r != 0)
      return r;
    if (!told)
      tell (LOG_WARNING, "nbd%u has lost its server; trying to reach it again",
            w->device.index);
    told = true;
    sleep (1);
  }
  return -ENOTCONN;
}

/* NBD has no word for a new size, so a larger one needs a new connection.
 * What is under way on the old one would wait half a minute: best have none.
 */
static void
watch_size (struct watch *w)
{
  struct nbd_device device;
  struct nbd_handle *nbd;
  char error[256];

  nbd = export_connect (&device, error);
  nbd_close (nbd);
  if (nbd == NULL || device.size_bytes <= w->device.size_bytes)
    return;
  for (int i = 0; i < 1000; i++) {
    if (device_number (w->device.index, "inflight") == 0)
      break;
    usleep (1000);
  }
  shutdown (nbd_aio_get_fd (w->nbd), SHUT_RDWR);
}

/* Until the device is detached. */
static void
watch_run (struct watch *w)
{
  int timeout = options.interval ? (int) options.interval * 1000 : -1;
  int n, r = 0;

  while (r >= 0) {
    struct pollfd fd = { nbd_aio_get_fd (w->nbd), POLLRDHUP, 0 };

    n = poll (&fd, 1, timeout);
    if (n > 0)
      r = watch_lost (w);
    else if (n == 0 && device_is_attached (w->device.index))
      watch_size (w);
  }
}

/* ------------------------------------------------------------------
 * The program.
 */
static int
open_netlink (struct nbd_netlink *link)
{
  static const char *const modprobe[] = { "modprobe", "nbd", NULL };
  int r = nbd_netlink_open (link);
  pid_t pid;

  if (r == -ENOENT && posix_spawnp (&pid, modprobe[0], NULL, NULL,
                                    (char **) modprobe, environ) == 0) {
    waitpid (pid, NULL, 0);
    r = nbd_netlink_open (link);
  }
  if (r < 0)
    tell (LOG_ERR, "cannot reach the kernel's NBD client: %s", r == -ENOENT ?
          "the module nbd is not there" : strerror (-r));
  return r;
}

/* The export's name, unless another was asked for; malloc'ed. */
static char *
attached_name (struct nbd_handle *nbd)
{
  return options.name ? strdup (options.name) : nbd_get_export_name (nbd);
}

static int
attach_device (struct watch *w, const char *name)
{
  uint32_t index;
  int r;

  if (link_read (name, &index) == 0 && device_is_attached (index)) {
    tell (LOG_ERR, "%s is attached already, as /dev/nbd%u", name, index);
    return -EBUSY;
  }
  r = nbd_netlink_connect (&w->link, &w->device, nbd_aio_get_fd (w->nbd),
                           options.dead);
  if (r < 0) {
    tell (LOG_ERR, "cannot attach %s: %s", name, strerror (-r));
    return r;
  }
  r = link_make (name, w->device.index);
  if (r < 0) {
    tell (LOG_ERR, "cannot make %s/%s: %s", LINKS, name, strerror (-r));
    nbd_netlink_disconnect (&w->link, w->device.index);
  }
  return r;
}

static int
attach (void)
{
  struct watch w = { .device.index = NBD_ANY };
  char *CLEANUP_FREE name = NULL;
  char path[PATH_MAX], error[256], end;

  if (options.device &&
      sscanf (options.device, "/dev/nbd%u%c", &w.device.index, &end) != 1) {
    tell (LOG_ERR, "'%s' is not /dev/nbdN", options.device);
    return -EINVAL;
  }
  w.nbd = export_connect (&w.device, error);
  if (w.nbd == NULL) {
    tell (LOG_ERR, "%s", error);
    return -EIO;
  }
  name = attached_name (w.nbd);
  if (name == NULL || link_path (name, path) < 0)
    return -EINVAL;
  if (open_netlink (&w.link) < 0 || attach_device (&w, name) < 0)
    return -EIO;
  printf ("%s\n", path);
  fflush (stdout);
  if (!options.foreground && daemon (1, 0) < 0)
    tell (LOG_WARNING, "stays in the foreground: %s", strerror (errno));
  else
    in_background = !options.foreground;
  watch_run (&w);
  link_remove (name);
  return 0;
}

/* Whoever watches it takes the link away; if nobody does, we. */
static int
detach (struct nbd_netlink *link, const char *word)
{
  const char *name = strncmp (word, LINKS "/", sizeof LINKS) ? word :
    word + sizeof LINKS;
  char path[64];
  uint32_t index;
  int fd, r = link_read (name, &index);

  if (r < 0) {
    tell (LOG_ERR, "%s is not attached", name);
    return r;
  }
  snprintf (path, sizeof path, "/dev/nbd%u", index);
  fd = open (path, O_RDONLY | O_EXCL | O_CLOEXEC);
  if (fd < 0 && errno == EBUSY) {
    tell (LOG_ERR, "%s (%s) is in use", name, path);
    return -EBUSY;
  }
  if (fd >= 0)
    close (fd);
  if (device_is_attached (index))
    r = nbd_netlink_disconnect (link, index);
  if (r < 0) {
    tell (LOG_ERR, "cannot detach %s: %s", name, strerror (-r));
    return r;
  }
  link_remove (name);
  return 0;
}

static int
list (void)
{
  DIR *dir = opendir (LINKS);
  struct dirent *entry;
  uint32_t index;

  while (dir && (entry = readdir (dir)) != NULL)
    if (entry->d_type == DT_LNK && link_read (entry->d_name, &index) == 0)
      printf ("%s\t/dev/nbd%u\t%lld%s\n", entry->d_name, index,
              device_number (index, "size"),
              device_is_attached (index) ? "" : "\tdetached");
  if (dir)
    closedir (dir);
  return 0;
}

static void
usage (FILE *out)
{
  fprintf (out, "Usage:\n\n"
           "  nbdm-attach [OPTIONS] [attach] URI|EXPORT [/dev/nbdN]\n"
           "                                 make an export a block device\n"
           "  nbdm-attach detach NAME...     undo that (or --detach)\n"
           "  nbdm-attach list               name, device, sectors (--list)"
           "\n\n"
           "  -c, --control SOCKET    of the server that has EXPORT\n"
           "  -n, --name NAME         of the link in " LINKS "\n"
           "  -r, --readonly\n"
           "  -f, --foreground\n"
           "  -i, --interval SECONDS  between looks at its size (5; 0: none)\n"
           "  -t, --timeout SECONDS   I/O waits for a lost server (3600)\n\n"
           "See nbdm-attach(8).  This is nbdm-attach %s.\n",
           PACKAGE_VERSION);
}

static int
parse_seconds (const char *word, unsigned *seconds)
{
  char *end;
  unsigned long n = strtoul (word, &end, 10);

  if (end == word || *end || *word == '-' || n > 1000000) {
    tell (LOG_ERR, "'%s' is no number of seconds", word);
    return -EINVAL;
  }
  *seconds = n;
  return 0;
}

/* What is to be done, by a word; 0 if there is none. */
static int
parse_verb (const char *word)
{
  static const char *const verbs[] = { "attach", "detach", "list", NULL };

  for (size_t i = 0; word && verbs[i]; i++)
    if (strcmp (word, verbs[i]) == 0) {
      optind++;
      return *word;
    }
  return 0;
}

/* What is to be done: 'a', 'd', 'l', 'h', 'V' or '?'. */
static int
parse (int argc, char **argv)
{
  static const struct option long_options[] = {
    { "control", required_argument, NULL, 'c' },
    { "detach", no_argument, NULL, 'd' },
    { "foreground", no_argument, NULL, 'f' },
    { "help", no_argument, NULL, 'h' },
    { "interval", required_argument, NULL, 'i' },
    { "list", no_argument, NULL, 'l' },
    { "name", required_argument, NULL, 'n' },
    { "readonly", no_argument, NULL, 'r' },
    { "timeout", required_argument, NULL, 't' },
    { "version", no_argument, NULL, 'V' },
    { NULL }
  };
  int c, n, what = 0;

  while ((c = getopt_long (argc, argv, "c:dfhi:ln:rt:V", long_options,
                           NULL)) != -1)
    switch (c) {
    case 'c': options.control = optarg; break;
    case 'f': options.foreground = true; break;
    case 'r': options.readonly = true; break;
    case 'n': options.name = optarg; break;
    case 'i': case 't':
      if (parse_seconds (optarg, c == 'i' ? &options.interval :
                         &options.dead) < 0)
        return '?';
      break;
    default: what = c;
    }
  if (what == 0)
    what = parse_verb (argv[optind]);
  n = argc - optind;
  if (what == 0)
    what = 'a';
  if ((what == 'a' && (n < 1 || n > 2)) || (what == 'd' && n == 0) ||
      (what == 'l' && n > 0))
    return '?';
  if (what == 'a') {
    options.uri = argv[optind];
    options.device = argv[optind + 1];
  }
  return what;
}

static int
detach_all (int n, char **names)
{
  struct nbd_netlink link;
  int r = open_netlink (&link);

  for (int i = 0; i < n && r == 0; i++)
    r = detach (&link, names[i]);
  return r;
}

int
main (int argc, char **argv)
{
  int what = parse (argc, argv), r = 0;

  openlog ("nbdm-attach", LOG_PID, LOG_DAEMON);
  switch (what) {
  case 'a': r = attach (); break;
  case 'd': r = detach_all (argc - optind, argv + optind); break;
  case 'l': r = list (); break;
  case 'h': usage (stdout); break;
  case 'V': puts ("nbdm-attach " PACKAGE_VERSION); break;
  default: usage (stderr); return 2;
  }
  return r < 0 || fflush (stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
