/* SPDX-License-Identifier: BSD-3-Clause */
/* How libFuzzer changes an input of fuzz-control: frames stay frames. */

/* Bytes changed at random seldom leave more than the first frame whole.  So
 * most of the time a frame is taken out, put elsewhere, or changed inside, and
 * the lengths that depend on it are put right; and sometimes they are not.
 */
#include <stdbool.h>
#include <string.h>

#include "common/protocol.h"
#include "tests/fuzz/fuzz.h"

size_t LLVMFuzzerMutate (uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max,
                                unsigned seed);
size_t LLVMFuzzerCustomCrossOver (const uint8_t *a, size_t a_size,
                                  const uint8_t *b, size_t b_size,
                                  uint8_t *out, size_t max, unsigned seed);

#define MAX_FRAMES 256
#define HEAD sizeof (struct nbdm_request)
#define SPEC sizeof (struct dm_target_spec)

struct frames {
  unsigned n;
  size_t at[MAX_FRAMES + 1]; /* the last is the end of the last frame */
};

static uint32_t
get32 (const uint8_t *p)
{
  uint32_t n;

  memcpy (&n, p, sizeof n);
  return n;
}

static void
put32 (uint8_t *p, uint32_t n)
{
  memcpy (p, &n, sizeof n);
}

static struct frames
find_frames (const uint8_t *data, size_t size)
{
  struct frames f = { 0 };
  uint32_t length;

  while (f.n < MAX_FRAMES && size - f.at[f.n] >= HEAD) {
    length = get32 (data + f.at[f.n] + offsetof (struct nbdm_request, length));
    if (length > size - f.at[f.n] - HEAD)
      break;
    f.at[f.n + 1] = f.at[f.n] + HEAD + length;
    f.n++;
  }
  return f;
}

/* Replace [at, end) of the input by n bytes; its new size. */
static size_t
splice (uint8_t *data, size_t size, size_t at, size_t end, const uint8_t *with,
        size_t n)
{
  memmove (data + at + n, data + end, size - end);
  memcpy (data + at, with, n);
  return size - (end - at) + n;
}

static size_t
copy_frame (uint8_t *data, size_t size, size_t max, const struct frames *f,
            unsigned seed)
{
  unsigned from = seed % f->n, to = seed / f->n % (f->n + 1);
  size_t n = f->at[from + 1] - f->at[from];
  uint8_t copy[1 << 16];

  if (n > sizeof copy || n > max - size)
    return size;
  memcpy (copy, data + f->at[from], n);
  return splice (data, size, f->at[to], f->at[to], copy, n);
}

static size_t
drop_frame (uint8_t *data, size_t size, const struct frames *f, unsigned seed)
{
  unsigned i = seed % f->n;

  return splice (data, size, f->at[i], f->at[i + 1], data, 0);
}

/* Mutate n bytes in place; the text among them has its end left. */
static void
mutate_field (uint8_t *field, size_t n)
{
  size_t now = n > 0 ? LLVMFuzzerMutate (field, n, n) : 0;

  memset (field + now, 0, n - now);
}

static void
mutate_header (uint8_t *data, uint8_t *payload, const struct frames *f,
               unsigned seed)
{
  const uint8_t *other = data + f->at[seed / 8 % f->n] + HEAD;
  const uint8_t *end = data + f->at[f->n];

  switch (seed % 4) {
  case 0: /* the name that another frame has */
    if (other + sizeof (struct dm_ioctl) <= end)
      memmove (payload + offsetof (struct dm_ioctl, name),
               other + offsetof (struct dm_ioctl, name), DM_NAME_LEN);
    break;
  case 1:
    mutate_field (payload + offsetof (struct dm_ioctl, flags), 4);
    break;
  case 2:
    mutate_field (payload + offsetof (struct dm_ioctl, name), DM_NAME_LEN);
    break;
  case 3:
    mutate_field (payload, sizeof (struct dm_ioctl));
  }
}

/* The parameters of a line of a load, which begins at payload + at. */
static void
mutate_line (uint8_t *payload, size_t length, unsigned seed)
{
  unsigned nr = seed % 4;
  size_t at = sizeof (struct dm_ioctl);
  uint32_t next = 0;

  for (; at + SPEC < length; at += next) {
    next = get32 (payload + at + offsetof (struct dm_target_spec, next));
    if (next <= SPEC || next > length - at)
      next = length - at;
    if (nr-- == 0 || at + next + SPEC >= length)
      break;
  }
  if (at + SPEC < length && seed % 3 == 0)
    mutate_field (payload + at, SPEC);
  else if (at + SPEC < length)
    mutate_field (payload + at + SPEC, next - SPEC - 1);
}

static void
mutate_ioctl (uint8_t *data, uint8_t *payload, size_t length, uint32_t command,
              const struct frames *f, unsigned seed)
{
  size_t head = sizeof (struct dm_ioctl);

  if (length <= head || seed % 4 == 0)
    mutate_header (data, payload, f, seed / 4);
  else if (command == DM_TABLE_LOAD_CMD)
    mutate_line (payload, length, seed / 4);
  else if (command == DM_TARGET_MSG_CMD && seed % 4 < 3 &&
           length > head + sizeof (struct dm_target_msg))
    mutate_field (payload + head + sizeof (struct dm_target_msg),
                  length - head - sizeof (struct dm_target_msg) - 1);
  else
    mutate_field (payload + head, length - head);
}

/* Make a frame longer or shorter by up to 64 bytes at its end. */
static size_t
resize_frame (uint8_t *data, size_t size, size_t max, size_t at, size_t end,
              unsigned seed)
{
  static const uint8_t zeroes[64];
  uint8_t *length = data + at + offsetof (struct nbdm_request, length);
  uint8_t *payload = data + at + HEAD;
  size_t n = seed % 64 + 1;
  bool shrink = seed & 64;

  if (shrink ? n > end - at - HEAD : n > max - size)
    return size;
  size = splice (data, size, shrink ? end - n : end, end, zeroes,
                 shrink ? 0 : n);
  put32 (length, get32 (length) + (shrink ? -n : n));
  if (get32 (length) >= sizeof (struct dm_ioctl))
    put32 (payload + offsetof (struct dm_ioctl, data_size), get32 (length));
  return size;
}

size_t
LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max, unsigned seed)
{
  struct frames f = find_frames (data, size);
  unsigned i = f.n ? seed / 16 % f.n : 0;
  size_t at = f.at[i], end = f.at[i + 1], length = end - at - HEAD;
  uint8_t *payload = data + at + HEAD;

  if (f.n == 0 || seed % 16 == 0)
    return LLVMFuzzerMutate (data, size, max);
  seed /= 256;
  switch (seed % 8) {
  case 0:
    return copy_frame (data, size, max, &f, seed / 8);
  case 1:
    return drop_frame (data, size, &f, seed / 8);
  case 2:
    return resize_frame (data, size, max, at, end, seed / 8);
  }
  if (get32 (data + at + 4) < 0x100 && length >= sizeof (struct dm_ioctl))
    mutate_ioctl (data, payload, length, get32 (data + at + 4), &f, seed / 8);
  else if (length > 0 && seed % 8 > 4)
    mutate_field (payload, length);
  else
    mutate_field (data + at, HEAD);
  return size;
}

/* The first frames of the one, the last of the other. */
size_t
LLVMFuzzerCustomCrossOver (const uint8_t *a, size_t a_size, const uint8_t *b,
                           size_t b_size, uint8_t *out, size_t max,
                           unsigned seed)
{
  struct frames f = find_frames (a, a_size), g = find_frames (b, b_size);
  size_t head = f.at[seed % (f.n + 1)];
  size_t tail = g.at[seed / 512 % (g.n + 1)];

  if (head > max)
    head = max;
  memcpy (out, a, head);
  if (b_size - tail > max - head)
    b_size = tail + max - head;
  memcpy (out + head, b + tail, b_size - tail);
  return head + b_size - tail;
}
