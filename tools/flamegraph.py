"""A flame graph as one SVG file that needs nothing else.

Width is the share of samples, a frame stands on its caller; the order from left to right means
nothing. Each frame tells its numbers when it is pointed at. Kernel and program differ in
brightness, so that print without colours shows it too.
"""

from xml.sax.saxutils import escape

import stacks

WIDTH, ROW, MARGIN, HEAD = 1200, 17, 10, 44
FONT_PX = 11
CHAR_PX = 6.6        # of the monospaced font
NARROWEST_PX = 0.3   # what is less is not drawn
KERNEL_COLOURS = ("#b8cfe8", "#a9c3e0", "#c6d9ee")
USER_COLOURS = ("#f6d7a0", "#f2cb8a", "#f8e0b5")


class Frame:
    """A function in its place: how many samples, and what it called."""

    def __init__(self, name):
        self.name, self.count, self.callees = name, 0, {}


def tree_of(folded):
    root = Frame("all")
    for frames, count in sorted(folded.items()):
        node = root
        node.count += count
        for name in frames:
            node = node.callees.setdefault(name, Frame(name))
            node.count += count
    return root


def depth_of(frame):
    return 1 + max((depth_of(callee) for callee in frame.callees.values()), default=0)


def colour(name):
    colours = KERNEL_COLOURS if name.endswith(stacks.KERNEL_MARK) else USER_COLOURS
    return colours[sum(name.encode()) % len(colours)]


def label(name, width):
    room = int((width - 4) / CHAR_PX)
    if room < 3:
        return ""
    return name if len(name) <= room else name[:room - 2] + ".."


def frames_draw(frame, left, level, scale, total, bottom):
    """The SVG elements of a frame and of all on top of it."""
    width = frame.count * scale
    if width < NARROWEST_PX:
        return
    top = bottom - (level + 1) * ROW
    share = f"{frame.name}: {frame.count} samples, {100 * frame.count / total:.1f} %"
    yield (f'<g><title>{escape(share)}</title><rect x="{left:.2f}" y="{top}" width="{width:.2f}" '
           f'height="{ROW - 1}" fill="{colour(frame.name)}" stroke="#888" stroke-width="0.3"/>'
           f'<text x="{left + 3:.2f}" y="{top + 12}">{escape(label(frame.name, width))}</text></g>')
    for callee in frame.callees.values():
        yield from frames_draw(callee, left, level + 1, scale, total, bottom)
        left += callee.count * scale


def svg(folded, title):
    """The picture; `folded` as stacks.fold() answers it, at least one sample."""
    root = tree_of(folded)
    height = HEAD + depth_of(root) * ROW + MARGIN
    scale = (WIDTH - 2 * MARGIN) / root.count
    body = "\n".join(frames_draw(root, MARGIN, 0, scale, root.count, height - MARGIN))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="{FONT_PX}">\n'
            f'<rect width="100%" height="100%" fill="white"/>\n'
            f'<text x="{MARGIN}" y="18" font-size="14">{escape(title)}</text>\n'
            f'<text x="{MARGIN}" y="34">{root.count} samples; bluish: kernel, yellowish: program'
            f'</text>\n{body}\n</svg>\n')
