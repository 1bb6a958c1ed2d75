/* SPDX-License-Identifier: BSD-3-Clause */
/* The one place that knows every target type. */

#include "server/device-mapper.h"

extern const struct target_type snapshot_diff_target, snapshot_merge_target,
  snapshot_origin_target, snapshot_target, thin_delta_target,
  thin_pool_target, thin_target, ebs_target, log_writes_target, switch_target,
  dust_target, unstriped_target, flakey_target, delay_target, zero_target,
  striped_target, linear_target, error_target;

const struct target_type *const target_types[] = {
  &snapshot_diff_target,
  &snapshot_merge_target,
  &snapshot_origin_target,
  &snapshot_target,
  &thin_delta_target,
  &thin_pool_target,
  &thin_target,
  &ebs_target,
  &log_writes_target,
  &switch_target,
  &dust_target,
  &unstriped_target,
  &flakey_target,
  &delay_target,
  &zero_target,
  &striped_target,
  &linear_target,
  &error_target,
  NULL
};
