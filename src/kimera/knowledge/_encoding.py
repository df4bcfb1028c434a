"""Which characters the bytes of a text file stand for."""

from __future__ import annotations

import codecs
import re

__all__ = ["decode", "detect", "looks_binary"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNDEFINED_1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_HIGH_LINES = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")
# Alphabets whose single-byte pages a statistical guess tells apart from Western European text reliably.
_TRUSTED = frozenset(
    """cp1251 koi8_r koi8_u mac_cyrillic iso8859_5 cp1253 iso8859_7 cp1255 iso8859_8 cp1256 iso8859_6
    gb18030 gb2312 gbk big5 big5hkscs shift_jis shift_jis_2004 cp932 euc_jp euc_kr cp949 johab""".split()  # noqa: SIM905
)


def looks_binary(head: bytes) -> bool:
    """Return whether ``head`` is not text in any encoding known here."""
    if any(head.startswith(bom) for bom, _ in _BOMS) or _utf16_without_bom(head):
        return False
    return len(_CONTROL.findall(head)) > max(2, len(head) // 100)


def detect(head: bytes) -> str:
    """Return the Python codec for ``head``, which may end inside a character.

    Order: byte order mark, UTF-16 by its zero bytes, UTF-8 if it decodes (or nearly does), then an alphabet that
    charset-normalizer tells with confidence, else Mac Roman (only old Mac files end lines with a bare carriage
    return), Windows-1252 or Latin-1.
    """
    for bom, name in _BOMS:
        if head.startswith(bom):
            return name
    wide = _utf16_without_bom(head)
    if wide:
        return wide
    if _mostly_utf8(head):
        return "utf-8"
    guess = _statistical(head)
    if guess in _TRUSTED:
        return guess
    if b"\n" not in head and b"\r" in head:
        return "mac_roman"
    return "latin-1" if _UNDEFINED_1252.search(head) else "cp1252"


def decode(data: bytes) -> tuple[str, str]:
    """Return ``(text, encoding)``; characters that cannot be read become U+FFFD."""
    encoding = detect(data)
    return data.decode(encoding, "replace"), encoding


def _utf16_without_bom(head: bytes) -> str | None:
    sample = head[:4096]
    if len(sample) < 8 or b"\0" not in sample:
        return None
    even, odd = sample[0::2].count(0) / (len(sample) / 2), sample[1::2].count(0) / (len(sample) / 2)
    if odd > 0.7 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 and odd < 0.05 else None


def _mostly_utf8(head: bytes) -> bool:
    """Return whether multi-byte sequences that are right outnumber wrong bytes by four to one."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        text = head.decode("utf-8", "surrogateescape")
        wrong = len(re.findall("[\udc80-\udcff]", text))
        right = sum(1 for c in text if ord(c) > 0x7F) - wrong
        return right >= 4 * wrong
    return True


def _statistical(head: bytes) -> str:
    from charset_normalizer import from_bytes

    sample = b"\n".join(_HIGH_LINES.findall(head)[:400])[:32_768]
    if len(sample) < 24:
        return ""
    best = from_bytes(sample).best()
    return best.encoding if best is not None and best.percent_coherence > 0 else ""
