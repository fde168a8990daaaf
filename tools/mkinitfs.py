#!/usr/bin/env python3
"""Build, list and check raw initfs images.

    mkinitfs.py -o OUT [--bootstrap BLOB] [--mtime SECONDS] TREE...     later trees lie on top
    mkinitfs.py --list IMAGE
    mkinitfs.py --check IMAGE

An image is what the kernel maps and the initfs server serves. Everything is little-endian and a
page is 4096 bytes:

    header    page 0: magic, bootstrap_off, bootstrap_len, image_len, inode_off, inode_count,
              page_size, created_ns. The kernel reads the two bootstrap words and nothing else.
    bootstrap a flat binary, starting on a page.
    inodes    48 bytes each: mode, nlink, data_off, len, mtime_ns, uid, gid, reserved. Inode 0 is
              the root directory.
    data      a file starts on a page and is padded with zeros to a page, so that its frames can be
              mapped privately; a symbolic link is its target; a directory is a run of records
              {inode, name_len, zero, name, NUL, padding to 8}, sorted by name as bytes.

The output depends on nothing but the input's names, modes and contents (and --mtime).
"""

import argparse
import os
import stat
import struct
import sys

PAGE = 4096
MAGIC = b"CATHODE\x01"
HEADER = struct.Struct("<8sQQQQIIQ")
INODE = struct.Struct("<IIQQQIIQ")
RECORD = struct.Struct("<IHH")
NAME_MAX = 255
LINK_MAX = 4095


class ImageError(Exception):
    """A malformed image or a tree that cannot become one; the text says what and where."""


def align_up(value, step):
    return (value + step - 1) // step * step


# ---- building ----------------------------------------------------------------------------------


class Node:
    """A file of the image to be: a directory has children, everything else has content."""

    def __init__(self, mode, content=b"", source=None):
        self.mode = mode
        self.content = content
        self.source = source
        self.children = {}
        self.number = 0
        self.offset = 0
        self.len_bytes = 0

    def is_dir(self):
        return stat.S_ISDIR(self.mode)

    def load(self):
        if self.source is None:
            return self.content
        with open(self.source, "rb") as file:
            return file.read()


def node_from_path(path):
    info = os.lstat(path)
    perm = stat.S_IMODE(info.st_mode)
    if stat.S_ISDIR(info.st_mode):
        return Node(stat.S_IFDIR | perm)
    if stat.S_ISLNK(info.st_mode):
        return Node(stat.S_IFLNK | 0o777, os.fsencode(os.readlink(path)))
    if stat.S_ISREG(info.st_mode):
        return Node(stat.S_IFREG | perm, source=path)
    raise ImageError(f"{path}: only files, directories and symbolic links can be in an image")


def tree_overlay(directory, path):
    """Lays the tree at `path` over `directory`: directories merge, anything else replaces."""
    for entry in os.listdir(path):
        name, source = os.fsencode(entry), os.path.join(path, entry)
        if len(name) > NAME_MAX:
            raise ImageError(f"{source}: name is longer than {NAME_MAX} bytes")
        node, old = node_from_path(source), directory.children.get(name)
        if old and old.is_dir() and node.is_dir():
            old.mode, node = node.mode, old
        directory.children[name] = node
        if node.is_dir():
            tree_overlay(node, source)


def nodes_in_order(root):
    """Every node, numbered: the root is 0, and the order is that of a sorted walk."""
    order, pending = [], [root]
    while pending:
        node = pending.pop(0)
        node.number = len(order)
        order.append(node)
        pending += [node.children[name] for name in sorted(node.children)]
    return order


def directory_records(node):
    out = bytearray()
    for name in sorted(node.children):
        out += RECORD.pack(node.children[name].number, len(name), 0) + name + b"\0"
        out += bytes(-len(out) % 8)
    return bytes(out)


def data_place(order, start):
    """Gives every node its offset; answers the end. Files take whole pages, the rest packs by 8."""
    end = start
    for node in order:
        if not stat.S_ISREG(node.mode):
            node.content = directory_records(node) if node.is_dir() else node.content
            node.len_bytes, node.offset = len(node.content), end
            end = align_up(end + node.len_bytes, 8)
    for node in order:
        if stat.S_ISREG(node.mode):
            node.len_bytes = os.stat(node.source).st_size if node.source else len(node.content)
            node.offset = end = align_up(end, PAGE)
            end += node.len_bytes
    return align_up(end, PAGE)


def image_build(out, trees, bootstrap, mtime_ns):
    root = Node(stat.S_IFDIR | 0o755)
    for tree in trees:
        tree_overlay(root, tree)
    order = nodes_in_order(root)
    inode_off = PAGE + align_up(len(bootstrap), PAGE)
    image_len = data_place(order, inode_off + len(order) * INODE.size)
    header = HEADER.pack(
        MAGIC, PAGE, len(bootstrap), image_len, inode_off, len(order), PAGE, mtime_ns
    )
    with open(out, "wb") as file:
        file.truncate(image_len)
        file.write(header)
        file.seek(PAGE)
        file.write(bootstrap)
        file.seek(inode_off)
        for node in order:
            file.write(inode_pack(node, mtime_ns))
        for node in order:
            data_write(file, node)


def inode_pack(node, mtime_ns):
    subdirs = sum(child.is_dir() for child in node.children.values())
    nlink = 2 + subdirs if node.is_dir() else 1
    return INODE.pack(node.mode, nlink, node.offset, node.len_bytes, mtime_ns, 0, 0, 0)


def data_write(file, node):
    content = node.load()
    if len(content) != node.len_bytes:
        raise ImageError(f"{node.source}: changed while it was read")
    file.seek(node.offset)
    file.write(content)


# ---- reading and checking ----------------------------------------------------------------------


class Image:
    """A parsed image. Every offset is checked before it is followed."""

    def __init__(self, data):
        self.data = data
        if len(data) < PAGE:
            raise ImageError(f"image of {len(data)} bytes is shorter than its header page")
        (magic, self.bootstrap_off, self.bootstrap_len, self.image_len, self.inode_off,
         self.n_inodes, page_size, self.created_ns) = HEADER.unpack_from(data)
        self.require(magic == MAGIC, f"bad magic {magic!r}")
        self.require(page_size == PAGE, f"page size {page_size}, expected {PAGE}")
        self.require(self.image_len == len(data),
                     f"header says {self.image_len} bytes, the file has {len(data)}")
        self.require(self.bootstrap_off % PAGE == 0, "bootstrap does not start on a page")
        self.extent("bootstrap", self.bootstrap_off, self.bootstrap_len)
        self.extent("inode table", self.inode_off, self.n_inodes * INODE.size)
        self.require(self.n_inodes > 0, "no root directory")

    @staticmethod
    def require(condition, text):
        if not condition:
            raise ImageError(text)

    def extent(self, what, offset, len_bytes):
        self.require(offset >= PAGE or len_bytes == 0, f"{what} overlaps the header")
        self.require(offset <= self.image_len and len_bytes <= self.image_len - offset,
                     f"{what} at {offset:#x}+{len_bytes:#x} leaves the image")

    def inode(self, number):
        self.require(number < self.n_inodes, f"inode {number} of {self.n_inodes}")
        return INODE.unpack_from(self.data, self.inode_off + number * INODE.size)

    def content(self, number):
        mode, _, offset, len_bytes = self.inode(number)[:4]
        self.extent(f"data of inode {number}", offset, len_bytes)
        if stat.S_ISREG(mode):
            self.require(offset % PAGE == 0, f"file inode {number} does not start on a page")
        return self.data[offset:offset + len_bytes]

    def records(self, number):
        """(name, inode number) of each entry of a directory, names checked and in order."""
        content, at, last = self.content(number), 0, b""
        while at < len(content):
            where = f"directory inode {number} at {at}"
            self.require(at + RECORD.size <= len(content), f"{where}: truncated record")
            child, name_len, zero = RECORD.unpack_from(content, at)
            name = content[at + RECORD.size:at + RECORD.size + name_len]
            after = at + RECORD.size + name_len
            self.require(after < len(content) and zero == 0 and content[after] == 0,
                         f"{where}: malformed record")
            self.require(0 < name_len <= NAME_MAX and b"/" not in name and b"\0" not in name
                         and name not in (b".", b".."), f"{where}: bad name {name!r}")
            self.require(name > last, f"{where}: {name!r} is out of order")
            yield name, child
            at, last = align_up(after + 1, 8), name

    def walk(self):
        """(path, inode number) of everything reachable; an inode met twice is an error for a
        directory (a loop) and a hard link for anything else."""
        seen, pending = {0}, [("", 0)]
        while pending:
            path, number = pending.pop()
            mode = self.inode(number)[0]
            yield path or "/", number
            for name, child in self.records(number) if stat.S_ISDIR(mode) else ():
                is_dir = stat.S_ISDIR(self.inode(child)[0])
                self.require(not is_dir or child not in seen, f"{path}/: directory loop")
                seen.add(child)
                pending.append((f"{path}/{os.fsdecode(name)}", child))
        self.require(len(seen) == self.n_inodes,
                     f"{self.n_inodes - len(seen)} inodes are in no directory")


def inode_check(image, path, number):
    mode, nlink, offset, len_bytes, _, _, _, reserved = image.inode(number)
    kind = stat.S_IFMT(mode)
    image.require(kind in (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK), f"{path}: mode {mode:#o}")
    image.require(nlink > 0 and reserved == 0, f"{path}: bad link count or reserved word")
    image.content(number)
    if kind == stat.S_IFLNK:
        image.require(0 < len_bytes <= LINK_MAX, f"{path}: link target of {len_bytes} bytes")
    if kind == stat.S_IFREG:
        padding = image.data[offset + len_bytes:align_up(offset + len_bytes, PAGE)]
        image.require(not any(padding), f"{path}: padding after the file is not zero")


def image_check(image):
    image.require(stat.S_ISDIR(image.inode(0)[0]), "inode 0 is not a directory")
    for path, number in image.walk():
        inode_check(image, path, number)


def image_list(image):
    print(f"bootstrap {image.bootstrap_len} bytes at {image.bootstrap_off:#x}, "
          f"{image.n_inodes} inodes, {image.image_len} bytes")
    for path, number in sorted(image.walk()):
        mode, nlink, offset, len_bytes = image.inode(number)[:4]
        target = " -> " + os.fsdecode(image.content(number)) if stat.S_ISLNK(mode) else ""
        print(f"{stat.filemode(mode)} {nlink:3} {len_bytes:9} {offset:#010x} {path}{target}")


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", help="image to write")
    parser.add_argument("--bootstrap", help="flat binary of the first process")
    parser.add_argument("--mtime", type=int, default=int(os.environ.get("SOURCE_DATE_EPOCH", 0)),
                        help="time of every file, in seconds since 1970")
    parser.add_argument("--list", metavar="IMAGE")
    parser.add_argument("--check", metavar="IMAGE")
    parser.add_argument("tree", nargs="*")
    args = parser.parse_args()
    if sum(map(bool, (args.out, args.list, args.check))) != 1:
        parser.error("give exactly one of --out, --list and --check")
    return args


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    args = arguments()
    try:
        if args.out:
            bootstrap = bytes_of(args.bootstrap) if args.bootstrap else b""
            temporary = args.out + ".tmp"
            image_build(temporary, args.tree, bootstrap, args.mtime * 10**9)
            os.replace(temporary, args.out)
        else:
            image = Image(bytes_of(args.list or args.check))
            image_check(image)
            if args.list:
                image_list(image)
    except (ImageError, OSError) as error:
        sys.exit(f"mkinitfs: {args.list or args.check or args.out}: {error}")


if __name__ == "__main__":
    main()
