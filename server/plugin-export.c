/* SPDX-License-Identifier: BSD-3-Clause */
/* Exports: what clients find, open and are told of a device. */

#include "server/plugin.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "common/cleanup.h"
#include "common/lock.h"
#include "config/access.h"

/* nbdkit 1.32 refuses the whole list when it is longer. */
#define EXPORTS_MAX 10000

#define BLOCK_MAX_BYTES (32u << 20)

static struct {
  struct latch latch;
  struct list handles; /* by ascending lane; guarded by latch */
} exports = { LATCH_INIT, LIST_HEAD_INIT (exports.handles) };

/* ------------------------------------------------------------------
 * Exports.
 */

static void
export_find_address (struct access_peer *peer)
{
  union {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
    struct sockaddr_storage room;
  } address;
  socklen_t len = sizeof address;

  if (nbdkit_peer_name (&address.any, &len) == -1)
    return;
  peer->is_local = address.any.sa_family == AF_UNIX;
  peer->has_address = true;
  if (address.any.sa_family == AF_INET)
    peer->address = access_map_ipv4 (address.ipv4.sin_addr);
  else if (address.any.sa_family == AF_INET6)
    peer->address = address.ipv6.sin6_addr;
  else
    peer->has_address = false;
}

/* The names stand in the client's certificate if nbdkit has verified that. */
static void
export_find_names (char **dn, char **issuer_dn)
{
#if HAVE_DECL_NBDKIT_PEER_TLS_DN
  *dn = nbdkit_peer_tls_dn ();
  *issuer_dn = nbdkit_peer_tls_issuer_dn ();
#endif
}

/* Who the client of this thread is.  What is not known of it admits nobody. */
static struct access_peer
export_peer (void)
{
  struct access_peer peer = { .tls = nbdkit_is_tls () > 0 };
  int64_t uid, gid;

  export_find_address (&peer);
  if (!peer.is_local)
    return peer;
  uid = nbdkit_peer_uid ();
  gid = nbdkit_peer_gid ();
  peer.is_local = uid >= 0 && gid >= 0;
  peer.uid = uid;
  peer.gid = gid;
  return peer;
}

/* For a client whom the files do not admit there is no such export. */
static bool
export_admits (const char *name)
{
  char *CLEANUP_FREE dn = NULL, *CLEANUP_FREE issuer_dn = NULL;
  struct access_peer peer;

  if (reload_admits (door.reload, name, NULL))
    return true;
  peer = export_peer ();
  if (peer.tls)
    export_find_names (&dn, &issuer_dn);
  peer.tls_dn = dn;
  peer.tls_issuer_dn = issuer_dn;
  return reload_admits (door.reload, name, &peer);
}

static bool
export_allowed (const char *name, char **description)
{
  *description = NULL;
  if (door.only_export && strcmp (name, door.only_export) != 0)
    return false;
  return export_admits (name) && reload_export (door.reload, name, description);
}

/* Call fn for each export by ascending name, until it returns false. */
static int
export_each (bool (*fn) (const char *name, const char *description,
                         void *opaque),
             void *opaque)
{
  struct dm_info *CLEANUP_FREE infos = NULL;
  size_t i, n;
  int r;

  r = dm_list (door.registry, &infos, &n);
  if (r < 0)
    return r;
  for (i = 0; i < n; i++) {
    char *CLEANUP_FREE description = NULL;

    if ((infos[i].flags & DM_ACTIVE_PRESENT_FLAG) &&
        export_allowed (infos[i].name, &description) &&
        !fn (infos[i].name, description, opaque))
      break;
  }
  return 0;
}

struct export_listing {
  struct nbdkit_exports *exports;
  unsigned left;
  bool failed;
};

static bool
export_add (const char *name, const char *description, void *opaque)
{
  struct export_listing *listing = opaque;

  if (listing->left-- == 0)
    return false;
  listing->failed =
    nbdkit_add_export (listing->exports, name, description) == -1;
  return !listing->failed;
}

static int
export_list (int readonly, int is_tls, struct nbdkit_exports *list)
{
  struct export_listing listing = { list, EXPORTS_MAX, false };

  return export_each (export_add, &listing) < 0 || listing.failed ? -1 : 0;
}

static bool
export_take_name (const char *name, const char *description, void *opaque)
{
  *(const char **) opaque = nbdkit_strdup_intern (name);
  return false;
}

/* The first by name: the one there is, if there is one. */
static const char *
export_default (int readonly, int is_tls)
{
  const char *name = door.only_export;

  if (!name)
    export_each (export_take_name, &name);
  return name;
}

/* ------------------------------------------------------------------
 * Handles.
 */

/* NULL if the client asked for the default and there is none. */
static const char *
export_wanted (void)
{
  const char *name = nbdkit_export_name ();

  return name && *name ? name : export_default (0, 0);
}

/* Enter the handle with the lowest lane that is free. */
static void
export_enter (struct handle *new)
{
  ACQUIRE_LATCH_FOR_SCOPE (&exports.latch);
  struct handle *h;

  new->lane = 0;
  list_for_each (h, &exports.handles, link) {
    if (h->lane != new->lane)
      break;
    new->lane++;
  }
  list_add_tail (&h->link, &new->link);
}

static void *
export_open (int readonly)
{
  char *CLEANUP_FREE description = NULL;
  struct message msg = { 0 };
  const char *name = export_wanted ();
  struct handle *h;
  int r;

  if (!name || !export_allowed (name, &description)) {
    nbdkit_error ("no export named '%s'", name ? name : "");
    return NULL;
  }
  h = malloc (sizeof *h);
  if (!h) {
    nbdkit_error ("malloc: %m");
    return NULL;
  }
  r = dm_open (door.registry, name, &h->md, &msg);
  if (r < 0) {
    nbdkit_error ("%s", message_is_set (&msg) ? msg.text : strerror (-r));
    free (h);
    return NULL;
  }
  h->bdev = dm_block_device (h->md);
  export_enter (h);
  return h;
}

static void
export_close (void *handle)
{
  struct handle *h = handle;

  latch_acquire (&exports.latch);
  list_del (&h->link);
  latch_release (&exports.latch);
  dm_close (h->md); /* can remove the device: no latch may be held */
  free (h);
}

void
export_close_all (void)
{
  while (!list_empty (&exports.handles))
    export_close (list_first (&exports.handles, struct handle, link));
}

static const char *
export_description (void *handle)
{
  char *CLEANUP_FREE description = NULL;
  const char *name = export_wanted ();

  if (!name || !export_allowed (name, &description) || !description)
    return NULL;
  return nbdkit_strdup_intern (description);
}

static int64_t
export_get_size (void *handle)
{
  struct handle *h = handle;

  return sectors_to_bytes (bdev_size (h->bdev));
}

/* nbdkit asks once per connection, but the table under it may change.  So
 * everything is offered, whatever the table can do now; only for a read-only
 * table the client is better told at once.
 */
static int
export_always (void *handle)
{
  return 1;
}

static int
export_can_write (void *handle)
{
  struct handle *h = handle;

  return !dm_is_readonly (h->md);
}

static int
export_can_fua (void *handle)
{
  return NBDKIT_FUA_NATIVE;
}

static int
export_can_cache (void *handle)
{
  return NBDKIT_CACHE_NATIVE;
}

static int
export_is_rotational (void *handle)
{
  struct handle *h = handle;
  struct queue_limits limits;

  bdev_limits (h->bdev, &limits);
  return limits.rotational;
}

static bool
export_is_power_of_2 (unsigned n)
{
  return n != 0 && (n & (n - 1)) == 0;
}

/* nbdkit wants powers of two, 512 to 32M, and at least the minimum. */
static unsigned
export_preferred_bytes (const struct queue_limits *limits, unsigned minimum)
{
  unsigned n = 4096;

  if (export_is_power_of_2 (limits->io_opt_bytes))
    n = limits->io_opt_bytes;
  else if (export_is_power_of_2 (limits->io_min_bytes) &&
           limits->io_min_bytes > n)
    n = limits->io_min_bytes;
  if (n > BLOCK_MAX_BYTES)
    n = BLOCK_MAX_BYTES;
  return n < minimum ? minimum : n;
}

static int
export_block_size (void *handle, uint32_t *minimum, uint32_t *preferred,
                   uint32_t *maximum)
{
  struct handle *h = handle;
  struct queue_limits limits;

  bdev_limits (h->bdev, &limits);
  if (limits.logical_block_bytes > 65536) {
    *minimum = *preferred = *maximum = 0; /* more than NBD can say */
    return 0;
  }
  *minimum = limits.logical_block_bytes;
  *preferred = export_preferred_bytes (&limits, *minimum);
  *maximum = BLOCK_MAX_BYTES;
  return 0;
}

void
export_register (struct nbdkit_plugin *plugin)
{
  plugin->list_exports = export_list;
  plugin->default_export = export_default;
  plugin->open = export_open;
  plugin->close = export_close;
  plugin->export_description = export_description;
  plugin->get_size = export_get_size;
  plugin->block_size = export_block_size;
  plugin->is_rotational = export_is_rotational;
  plugin->can_write = export_can_write;
  plugin->can_flush = export_always;
  plugin->can_trim = export_always;
  plugin->can_zero = export_always;
  plugin->can_fast_zero = export_always;
  plugin->can_extents = export_always;
  plugin->can_multi_conn = export_always;
  plugin->can_fua = export_can_fua;
  plugin->can_cache = export_can_cache;
}
