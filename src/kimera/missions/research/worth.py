"""Which sentences may become claims: statements, not headings, tables of contents, code, links or boilerplate."""

from __future__ import annotations

import re

__all__ = ["addresses_a_model", "may_be_claim"]

_LEADERS = re.compile(r"(?:\.\s?){4,}\s*\d*\s*$|…{2,}\s*\d+\s*$")
_CONTENTS = re.compile(r"^\s*(?:\d+(?:\.\d+)*\.?\s+)?[^.!?]{2,80}?\s{2,}\d{1,4}\s*$")
_CODE = re.compile(
    r"[{}]\s*$|^\s*(?:def|class|import|from|return|const|let|var|function|public|private|#include|select|insert)\b.*[(;:{=]"
    r"|=>|\w\(\)|\w+\s*[!=]=\s*\w+|;\s*$|</\w+>|^\s*\$ |\\begin\{",
    re.M,
)
_URL = re.compile(r"https?://\S+|www\.\S+|\S+@\S+\.\w{2,}")
_BOILERPLATE = re.compile(
    r"all rights reserved|©|\bcookies?\b.{0,60}\b(?:use|accept|experience|settings|consent|browser)|"
    r"\b(?:use|accept)s?\s+cookies|privacy policy|terms (?:of (?:use|service)|and conditions)|\bsubscribe\b.{0,30}"
    r"\b(?:newsletter|now|to our)|click here|sign (?:in|up) (?:to|for|now)|log ?in to|skip to (?:main )?content|"
    r"javascript (?:is|must be)|read more\s*$|share this|follow us|back to top|page \d+ of \d+",
    re.I,
)
_TO_MODEL = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|earlier|all|any|your)\b.{0,30}"
    r"\b(?:instruction|prompt|rule|direction|context)|\bsystem prompt\b|\byou are (?:now )?(?:an? |the )?"
    r"(?:ai|assistant|language model|chatbot)\b|\b(?:as|dear) (?:an? )?(?:ai|language model|assistant)\b|"
    r"\bdo not (?:tell|reveal|mention)\b.{0,40}\buser\b|<\|?(?:system|im_start|assistant)\|?>|\bnew instructions?\s*:",
    re.I,
)
_FIELD = re.compile(r"^\s*[A-Z][\w /()-]{1,40}:\s*\S")
_ALPHA = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W_]+")

LEAST_WORDS, MOST_WORDS = 4, 120


def addresses_a_model(text: str) -> bool:
    """Return whether ``text`` reads like an instruction to a language model; it is data like all other text."""
    return bool(_TO_MODEL.search(text))


def may_be_claim(text: str, heading: str = "") -> bool:
    """Return whether a sentence states something that a report could quote."""
    found = _WORD.findall(text)
    if not (LEAST_WORDS <= len(found) <= MOST_WORDS or (_FIELD.match(text) and len(found) >= 2)):
        return False
    if text.rstrip().endswith("?") or text.strip("# ").casefold() == heading.casefold():
        return False
    if text.lstrip().startswith("#") or text.count("|") >= 3:
        return False
    return not (_contents(text) or _CODE.search(text) or _links(text) or _BOILERPLATE.search(text) or _symbols(text))


def _contents(text: str) -> bool:
    return bool(_LEADERS.search(text) and re.search(r"\d\s*$", text)) or bool(_CONTENTS.match(text))


def _links(text: str) -> bool:
    linked = _URL.findall(text)
    return len(linked) >= 2 or sum(map(len, linked)) > 0.4 * len(text)


def _symbols(text: str) -> bool:
    solid = "".join(text.split())
    return len(_ALPHA.findall(solid)) < 0.45 * len(solid)
