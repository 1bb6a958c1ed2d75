/* SPDX-License-Identifier: BSD-3-Clause */
/* Thin metadata on a device in memory that can fail. */

#include "tests/lib/thin-rig.h"

#include <stdlib.h>
#include <string.h>

static int
rig_flush_data (void *context)
{
  struct thin_rig *rig = context;

  rig->nr_data_flushes++;
  return rig->data_flush_result;
}

void
rig_start_on (struct thin_rig *rig, struct memdev *dev)
{
  memset (rig, 0, sizeof *rig);
  rig->dev = dev;
  faultdev_init (&rig->fault, &dev->bdev);
  rig->params = (struct thin_meta_params) {
    .bdev = &rig->fault.bdev,
    .data_block_sectors = 128,
    .cache_blocks = 64,
    .flush_data = rig_flush_data,
    .context = rig,
  };
}

void
rig_start (struct thin_rig *rig, block_t nr_metadata_blocks)
{
  rig_start_on (rig, memdev_new ("metadata",
                                 nr_metadata_blocks * BM_BLOCK_SECTORS));
}

void
rig_stop (struct thin_rig *rig)
{
  rig_crash (rig);
  faultdev_reset (&rig->fault);
  if (rig->dev)
    memdev_free (rig->dev);
  rig->dev = NULL;
}

int
rig_open (struct thin_rig *rig)
{
  return thin_meta_open (&rig->params, &rig->md, NULL);
}

int
rig_close (struct thin_rig *rig)
{
  struct thin_metadata *md = rig->md;

  rig->md = NULL;
  return thin_meta_close (md);
}

/* What is read-only is not committed. */
void
rig_crash (struct thin_rig *rig)
{
  if (rig->md == NULL)
    return;
  thin_meta_set_read_only (rig->md, true);
  rig_close (rig);
}

static void
rig_must (int r)
{
  if (r < 0)
    abort ();
}

void
rig_format (struct thin_rig *rig, block_t nr_data_blocks)
{
  rig_must (rig_open (rig));
  rig_must (thin_meta_resize_data (rig->md, nr_data_blocks));
  rig_must (thin_meta_commit (rig->md));
}

int
rig_abort (struct thin_rig *rig)
{
  int r = thin_meta_abort (rig->md);

  return r < 0 ? r : thin_meta_set_read_only (rig->md, false);
}

int
rig_provision (struct thin_rig *rig, uint32_t id, block_t block)
{
  struct thin_device *td;
  block_t data;
  int r;

  r = thin_dev_open (rig->md, id, &td);
  if (r < 0)
    return r;
  r = thin_meta_alloc_data_block (rig->md, &data);
  if (r == 0)
    r = thin_dev_insert (td, block, data);
  thin_dev_close (td);
  return r;
}

int
rig_remove (struct thin_rig *rig, uint32_t id, block_t begin, block_t end)
{
  struct thin_device *td;
  int r;

  r = thin_dev_open (rig->md, id, &td);
  if (r < 0)
    return r;
  r = thin_dev_remove_range (td, begin, end);
  thin_dev_close (td);
  return r;
}

int
rig_find (struct thin_rig *rig, uint32_t id, block_t block,
          struct thin_mapping *mapping)
{
  struct thin_device *td;
  int r;

  r = thin_dev_open (rig->md, id, &td);
  if (r < 0)
    return r;
  r = thin_dev_find (td, block, mapping);
  thin_dev_close (td);
  return r;
}

size_t
rig_bytes (const struct thin_rig *rig)
{
  return sectors_to_bytes (rig->dev->bdev.size);
}
