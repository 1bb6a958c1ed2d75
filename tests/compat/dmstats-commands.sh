#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The options of dmstats, with what they show of counters, for a kernel and
# nbdm alike.
#
# IO NAME r|w SECTOR COUNT does one such request on a device.
set -u
: "${IO:?}"
. "$(dirname "$0")/transcript.sh"
export LC_ALL=C

s ()
{
    t stats "$@"
}

io ()
{
    echo "# $*"
    $IO "$@" || echo "-> failed"
}

# Whatever does not depend on how long something took.
counters=obj_type,region_id,area_id,group_id,read_count,write_count
counters=$counters,read_sector_count,write_sector_count,in_progress_count
places=name,stats_name,region_start,region_len,area_start,area_len
places=$places,area_offset,area_count,program_id,user_data,precise

t create a -u UUID-a --table "0 64 linear $DEV0 0
64 64 linear $DEV1 0
128 64 zero"
t create b --table "0 64 linear $DEV0 1024"
major=$("$DMSETUP" info -c --noheadings -o major a)

section made
s create --segments a
s create --segments --userdata seg --programid me a
s create --alldevices --start 0 --length 16s --areas 2
s create -u UUID-a --start 64s --length 32s --areasize 8s --programid me
s create -j "$major" -m 1 --bounds 1s,2s,10s --precise
s create b --start 16 --length 16 --areasize 16
s create nosuch
s create b --areas 2 --areasize 8s
s create b --start x
s create b --start 1t --length 8s
s create b --bounds 2s,1s
s list
s list -v
s list --allprograms
s list --allprograms --regionid 0 a
s list --allprograms -o "$places" --noheadings --separator "|"
s list --allprograms -o +hist_bins,hist_bounds b
s list --allprograms -O -region_id,name -o name,region_id
s list --allprograms -S "region_id>1" -o name,region_id
s list --allprograms --nameprefixes --noheadings -o name,region_id a
s list --allprograms --rows -o name,region_id,area_count
s list --allprograms --units k -o name,region_len
s list --allprograms --nosuffix --units s -o name,region_len
s list --programid me
s list -u UUID-a
s list nosuch

section reported
io a r 0 8
io a w 8 8
io a r 64 8
io b r 0 8
io b w 16 8
s report --count 1 -o "$counters" a
s report --count 1 -o "$counters" a
io a w 64 8
io a w 130 8
s report --count 1 --allprograms --area -o "$counters" --noheadings
s report --count 1 --region -o "$counters" a
s report --count 1 --programid me -o "$counters"
s report --count 1 --regionid 1 -o "$counters" a
s report --count 1 --nosuch a
s report --count 1 nosuch
s report --count 1 -o nosuch a
io b r 0 8
s report --count 1 --allprograms -o name,hist_count,hist_bins,hist_ranges b
io b r 0 8
s report --count 1 --histogram -o name,region_id,hist_count_bounds b
s report --count 1 --histogram --relative -o name,hist_percent_ranges b

section grouped
s group --regions 0-1 --alias both a
s group --regions 2 --alias both a
s group --regions 99 a
s group --regions x a
s group a
s list --group -o name,group_id,region_id a
s list --region --group -o obj_type,name,group_id,region_id,stats_name a
io a r 0 8
s report --count 1 --group -o "$counters" a
s print --groupid 0 nosuch
s ungroup --groupid 0 a
s ungroup --groupid 0 a
s ungroup a

section cleared
s print --regionid 99 a
s clear --allregions a
s clear --allregions --alldevices --allprograms
s clear a
s print --clear --regionid 3 b
s delete a
s delete --regionid 1 a
s delete --allregions --programid me a
s list --allprograms -o name,region_id
s delete --allregions --allprograms --alldevices
s list --allprograms
s frobnicate
s version
t remove a
t remove b
