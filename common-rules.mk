# SPDX-License-Identifier: BSD-3-Clause
# Included by every Makefile.am.

AM_CPPFLAGS = -I$(top_srcdir)
AM_CFLAGS = -std=gnu11 -pthread -fvisibility=hidden \
	-include $(top_builddir)/config.h $(WARN_CFLAGS) $(SANITIZE_CFLAGS)
AM_LDFLAGS = -pthread $(SANITIZE_CFLAGS)
