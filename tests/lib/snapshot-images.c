/* SPDX-License-Identifier: BSD-3-Clause */
/* Recorded origins and COW devices, and what the kernel said of them. */

#include "tests/lib/snapshot-images.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define A "snapshot/a-p8-basic/"
#define B "snapshot/b-p1-multiarea/"
#define C "snapshot/c-three-snaps/"
#define D "snapshot/d-midmerge/"
#define E "snapshot/e-invalid-and-overflow/"
#define F "snapshot/f-unaligned/"
#define G "snapshot/g-handmade/"

const struct snapshot_image snapshot_images[] = {
  { A "origin", A "cow", 8, 60, "496/2048 16",
    "0c20f197f6cca7caba274c5b9ac01a672e2f4df1170506c92c62440a1cb54c18" },
  { B "origin", B "cow", 1, 208, "216/1024 8",
    "c291ebf66de7e898bfbc4ec75bff9806f62afdce1b412f0064ff96b73283f959" },
  { B "origin-at-64", B "cow-at-64", 1, 64, "68/1024 4",
    "5cd622ee17461f7682b14e826820ec0d944c975f95c8a519b74a505144ec4a89" },
  { C "origin", C "cow8", 8, 11, "104/2048 16",
    "16f0af47605a5e1f8582adab0b7f3ddc1abbf337aaaeb326995f6a261263fafc" },
  { C "origin", C "cow64", 64, 4, "384/3072 128",
    "f0fffc27eed26167914c96bb1104174e661a9e58636a7f65fcf8d1f876fc8b5c" },
  { C "origin", C "cow2", 2, 25, "54/1024 4",
    "d2ab96bd3102450a799606e8e4b1a7f9981349b15db76f3b5e00f3e105fc3772" },
  { D "origin", D "cow", 8, 25, "216/2048 16",
    "f36366b6b0929cff348627d90d28a3b98ec22573388277f1e5a89bc543fb5467" },
  { D "origin-crash", D "cow-crash", 8, 25, "216/2048 16",
    "f36366b6b0929cff348627d90d28a3b98ec22573388277f1e5a89bc543fb5467" },
  { D "origin", D "cow-merged", 8, 0, "16/2048 16", "" },
  { E "origin", E "cow", 8, 0, "Invalid", NULL },
  { E "origin", E "cowpo", 8, 14, "128/128 16",
    "5cf4b761fa8615a1853d1de55f398d542d5946146a317d63ab804057e5edd54f" },
  { F "origin", F "cow", 16, 3, "80/1021 32",
    "1a437f333d43515333f73dba0d80d594c27d2a01fd296bd62a5b692997efce43" },
  { G "origin", G "g1", 4, 300, "1216/1280 16", "10f656cc36ea110a" },
  { G "origin", G "g2", 8, 40, "768/1024 16", "f759e96572435c93" },
  { G "origin", G "g5", 8, 1, "24/128 16", "893a7bda72ce0416" },
  { G "origin", G "g10", 8, 8, "80/128 16", "1737a5324c86a727" },
  { G "origin", G "g11", 2, 600, "1222/1400 22", "f57b4e93807dcceb" },
};

const size_t nr_snapshot_images =
  sizeof snapshot_images / sizeof snapshot_images[0];

void
sha256_hex (const void *data, size_t bytes, char hex[65])
{
  char path[] = "/var/tmp/nbdm-test-XXXXXX", command[64];
  int fd = mkstemp (path);
  FILE *fp;

  cr_assert_geq (fd, 0);
  cr_assert_eq (write (fd, data, bytes), (ssize_t) bytes);
  close (fd);
  snprintf (command, sizeof command, "sha256sum %s", path);
  fp = popen (command, "r");
  cr_assert_not_null (fp);
  cr_assert_eq (fscanf (fp, "%64s", hex), 1);
  pclose (fp);
  unlink (path);
}
