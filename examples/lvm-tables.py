#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Print a table file with the logical volumes of an LVM physical volume.

lvm-tables.py IMAGE: linear and striped volumes of a group that lies on this
one image (a file or an NBD URI's local copy), as nbdm.yaml(5) wants them.
Other segments are named in comments.  Nothing is written to the image.
"""
import json
import re
import struct
import sys

MDA = 4096              # where pvcreate puts the metadata area
MAGIC = b" LVM2 x[5A%r0N*>"


def current_metadata(image):
    """The text that the area's header points to; the area is a ring."""
    image.seek(MDA)
    header = image.read(512)
    magic, area = header[4:20], struct.unpack_from("<Q", header, 32)[0]
    offset, size = struct.unpack_from("<QQ", header, 40)
    if magic != MAGIC or size == 0 or offset >= area or size >= area:
        sys.exit(f"{image.name}: no LVM metadata at byte {MDA}")
    image.seek(MDA + offset)
    text = image.read(min(size, area - offset))
    image.seek(MDA + 512)
    return (text + image.read(size - len(text))).rstrip(b"\0").decode()


def parse(text):
    """name { … } and name = value as nested dictionaries."""
    words = re.findall(r'"(?:\\.|[^"\\])*"|[][{}=,]|#[^\n]*|[^][{}=,\s"#]+',
                       text)
    words = [w for w in words if not w.startswith("#")][::-1]

    def value():
        word = words.pop()
        if word == "[":
            items = []
            while words[-1] != "]":
                if words[-1] == ",":
                    words.pop()
                else:
                    items.append(value())
            words.pop()
            return items
        if word.startswith('"'):
            return json.loads(word)
        return int(word) if re.fullmatch(r"-?\d+", word) else word

    def section():
        found = {}
        while words and words[-1] != "}":
            name = words.pop()
            if words.pop() == "{":
                found[name] = section()
                words.pop()
            else:
                found[name] = value()
        return found

    return section()


def lines(path, group, segment):
    """The segment as a line of a table, or as a comment."""
    extent = group["extent_size"]
    first = next(iter(group["physical_volumes"].values()))["pe_start"]
    span = f'{segment["start_extent"] * extent} ' \
        f'{segment["extent_count"] * extent}'
    if segment["type"] != "striped":
        return f'# {span} is of type {segment["type"]}'
    places = [first + n * extent for n in segment["stripes"][1::2]]
    if len(places) == 1:
        return f"{span} linear {path} {places[0]}"
    devices = " ".join(f"{path} {place}" for place in places)
    return f'{span} striped {len(places)} {segment["stripe_size"]} {devices}'


def main():
    path = sys.argv[1]
    with open(path, "rb") as image:
        top = parse(current_metadata(image))
    name, group = next((n, g) for n, g in top.items() if isinstance(g, dict))
    if len(group["physical_volumes"]) != 1:
        sys.exit(f"{path}: {name} lies on more than one physical volume")
    print("devices:")
    for volume, about in group.get("logical_volumes", {}).items():
        print(f"  {name}-{volume}:\n    table: |")
        for n in range(1, about["segment_count"] + 1):
            print("      " + lines(path, group, about[f"segment{n}"]))


main()
