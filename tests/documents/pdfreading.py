"""A reader of PDF files of its own, after ISO 32000-1: the cross-reference table, streams, the tree of pages, text by ToUnicode."""

from __future__ import annotations

import base64
import re
import zlib


class Pdf:
    """A file, read through its cross-reference table; every object must lie where the table says."""

    def __init__(self, data: bytes):
        self.data = data
        start = int(re.search(rb"startxref\s+(\d+)\s+%%EOF", data)[1])
        head = re.match(rb"xref\s+0 (\d+)\s+", data[start:])
        entries = data[start + head.end() :][: 20 * int(head[1])]
        self.trailer = data[start:].split(b"trailer", 1)[1]
        self.objects = {}
        for number in range(1, int(head[1])):
            offset = int(entries[20 * number : 20 * number + 10])
            assert data[offset:].startswith(b"%d 0 obj" % number), f"object {number} is not at {offset}"
            self.objects[number] = data[offset:].split(b"endobj", 1)[0].split(b"obj", 1)[1].strip()

    def reference(self, text: bytes, name: bytes) -> int:
        return int(re.search(rb"/" + name + rb"\s+(\d+) 0 R", text)[1])

    def stream(self, number: int) -> bytes:
        head, body = re.split(rb"stream\r?\n", self.objects[number], maxsplit=1)
        length = re.search(rb"/Length (\d+)", head)
        # By its length: what is compressed may itself end in a line's end.
        body = body[: int(length[1])] if length else body.rsplit(b"endstream", 1)[0].rstrip(b"\r\n")
        if b"ASCII85Decode" in head:
            body = base64.a85decode(body.strip().removesuffix(b"~>"))
        return zlib.decompress(body) if b"FlateDecode" in head else body

    @property
    def pages(self) -> list[int]:
        root = self.objects[self.reference(self.trailer, b"Root")]
        tree = self.objects[self.reference(root, b"Pages")]
        kids = re.search(rb"/Kids\s*\[(.*?)\]", tree, re.DOTALL)[1]
        return [int(number) for number in re.findall(rb"(\d+) 0 R", kids)]

    def fonts(self) -> dict[bytes, dict[int, str]]:
        """Of every font: code → letter, from its ToUnicode map."""
        made = {}
        for body in self.objects.values():
            if not re.search(rb"/Type /Font\b", body) or b"/ToUnicode" not in body:
                continue
            cmap = self.stream(self.reference(body, b"ToUnicode")).decode("latin-1")
            letters = {}
            for block in re.findall(r"beginbfrange(.*?)endbfrange", cmap, re.DOTALL):
                for first, _last, listed in re.findall(r"<(\w+)> <(\w+)>\s*\[(.*?)\]", block, re.DOTALL):
                    for place, code in enumerate(re.findall(r"<(\w+)>", listed)):
                        letters[int(first, 16) + place] = bytes.fromhex(code).decode("utf-16-be")
            for block in re.findall(r"beginbfchar(.*?)endbfchar", cmap, re.DOTALL):
                for first, code in re.findall(r"<(\w+)>\s*<(\w+)>", block):
                    letters[int(first, 16)] = bytes.fromhex(code).decode("utf-16-be")
            made[re.search(rb"/Name /(\S+)", body)[1]] = letters
        return made

    def content(self, page: int) -> bytes:
        return self.stream(self.reference(self.objects[page], b"Contents"))

    def lines(self, page: int) -> list[str]:
        """The pieces of text that are shown on a page, in order."""
        fonts, current, made = self.fonts(), {}, []
        pattern = rb"/(\S+) [\d.]+ Tf|\(((?:[^()\\]|\\.|\\\n)*)\) Tj|(T\*|Td|Tm|ET)"
        piece = ""
        for name, text, move in re.findall(pattern, self.content(page), re.DOTALL):
            if name:
                current = fonts.get(name, {})
            elif move:
                if piece:
                    made.append(piece)
                piece = ""
            else:
                piece += "".join(current[code] for code in unescaped(text))
        return made

    def text(self) -> str:
        return "\n".join("\n".join(self.lines(page)) for page in self.pages)

    def info(self, name: str) -> str:
        body = self.objects[self.reference(self.trailer, b"Info")]
        raw = unescaped(re.search(rb"/" + name.encode() + rb" \(((?:[^()\\]|\\.)*)\)", body, re.DOTALL)[1])
        return raw[2:].decode("utf-16-be") if raw.startswith(b"\xfe\xff") else raw.decode("latin-1")


def unescaped(text: bytes) -> bytes:
    named = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}

    def one(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code, 8)]) if code.isdigit() else named.get(code, code)

    return re.sub(rb"\\([0-7]{1,3}|.)", one, text, flags=re.DOTALL)
