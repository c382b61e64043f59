"""Damaged configs by the thousand, each from its own seed: what people mistype, and what no person would write."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from robonav_ray.config import RunConfig
from robonav_ray.config.load import dump_config

SCALARS = [
    "3",
    "0.25",
    "64",
    "auto",
    "cpu",
    "",
    "~",
    "true",
    "no",
    "-1",
    "0",
    "1e999",
    "-.inf",
    ".nan",
    "0x1F",
    "9" * 400,
    "1_000",
    "1:30",
    "abc",
    "'",
    '"',
    "[",
    "{",
    "[]",
    "{}",
    "[1, 2",
    "{a: b}",
    "[[[[]]]]",
    "!!python/object/apply:os.system ['touch owned']",
    "!!binary aGk=",
    "&a [*a]",
    "*unknown",
    "<<: {a: 1}",
    "|",
    ">",
    "%",
    "@",
    "`x`",
    "\t",
    "\x00",
    "\ud83d\ude80".encode("utf-16", "surrogatepass").decode("utf-16"),
    "../../etc",
    "/",
    ".",
    "a/../b",
    "nul",
    "${HOME}",
    "$(touch owned)",
    "2026-11-25",
    "1e-400",
    "[" * 200,
    "{a: " * 100,
    "- " * 100,
    "x" * 5000,
    "? a",
    ": b",
    "# c",
    "---",
    "...",
    "\u2028",
    "\u202e",
]
KEYS = [
    "",
    " ",
    "a",
    "learner",
    "learner.batch_size",
    "<<",
    "__class__",
    "model_config",
    "0",
    "stages",
    "preset",
    "name",
    "output_dir",
    "env",
    "1.5",
    "algo",
    "runtime",
    "rewards",
    "batchsize",
    "é",
    "null",
    "true",
    "[a]",
    "'q'",
    "x" * 300,
]


@dataclass(frozen=True)
class Damaged:
    """One config file's bytes and the overrides of the command line."""

    text: bytes
    overrides: list[str]


def paths_of(data: object, path: tuple[str, ...] = ()) -> list[str]:
    """Return every dotted key of a nested config."""
    found = [".".join(path)] if path else []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        found += paths_of(value, (*path, str(key)))
    return found


_WHOLE = dump_config(RunConfig())
_PATHS = paths_of(yaml.safe_load(_WHOLE))


def sources(root: Path) -> list[str]:
    """Return the texts that are damaged: every shipped run config, and the whole of the defaults."""
    return [_WHOLE, *(path.read_text(encoding="utf-8") for path in sorted((root / "configs" / "run").glob("*.yaml")))]


def damaged(seed: int, texts: list[str]) -> Damaged:
    """Return the config of ``seed``: a shipped one with one to four wounds, and up to two overrides."""
    rng = random.Random(seed)
    text = rng.choice(texts)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
        text = rng.choice(WOUNDS)(rng, text)
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        data = _flip(rng, data)
    return Damaged(data, [_override(rng) for _ in range(rng.choice((0, 0, 0, 1, 2)))])


def _lines(rng: random.Random, text: str) -> tuple[list[str], int]:
    lines = text.splitlines() or [""]
    return lines, rng.randrange(len(lines))


def _value(rng: random.Random, text: str) -> str:
    lines, i = _lines(rng, text)
    lines[i] = re.sub(r":.*$", lambda _: f": {rng.choice(SCALARS)}", lines[i])
    return "\n".join(lines)


def _number(rng: random.Random, text: str) -> str:
    """Another number where there is one: what is refused by itself, or together with others."""
    lines, i = _lines(rng, text)
    for _ in range(50):
        if re.search(r": -?[0-9.]+$", lines[i]):
            break
        i = rng.randrange(len(lines))
    number = rng.choice(
        ["0", "1", "2", "-1", "0.5", "3", "64", "1000", "1e9", "2147483648", "1e-9", "7.5", "100000000000000000000"]
    )
    lines[i] = re.sub(r": -?[0-9.]+$", f": {number}", lines[i])
    return "\n".join(lines)


def _key(rng: random.Random, text: str) -> str:
    lines, i = _lines(rng, text)
    lines[i] = re.sub(r"[A-Za-z_]+(?=:)", lambda _: rng.choice(KEYS), lines[i], count=1)
    return "\n".join(lines)


def _typo(rng: random.Random, text: str) -> str:
    lines, i = _lines(rng, text)
    if lines[i]:
        at = rng.randrange(len(lines[i]))
        lines[i] = (
            lines[i][:at]
            + rng.choice(["", lines[i][at] * 2, rng.choice("abcxyz_.:-[]{}'\"#&*!|>%@ \t")])
            + lines[i][at + 1 :]
        )
    return "\n".join(lines)


def _indent(rng: random.Random, text: str) -> str:
    lines, i = _lines(rng, text)
    lines[i] = rng.choice([" ", "  ", "\t", "      "]) + lines[i] if rng.random() < 0.5 else lines[i].lstrip()
    return "\n".join(lines)


def _move(rng: random.Random, text: str) -> str:
    lines, i = _lines(rng, text)
    line = lines[i] if rng.random() < 0.5 else lines.pop(i)
    lines.insert(rng.randrange(len(lines) + 1), line)
    return "\n".join(lines)


def _cut(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] if rng.random() < 0.5 else text[at:]


def _add(rng: random.Random, text: str) -> str:
    depth = rng.choice((0, 0, 2, 4))
    return f"{text}\n{' ' * depth}{rng.choice(KEYS)}: {rng.choice(SCALARS)}\n"


WOUNDS = (_value, _value, _number, _number, _number, _key, _typo, _indent, _move, _cut, _add)


def _flip(rng: random.Random, data: bytes) -> bytes:
    found = bytearray(data or b"x")
    for _ in range(rng.randint(1, 8)):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found)


def _override(rng: random.Random) -> str:
    key = rng.choice(_PATHS) if rng.random() < 0.7 else rng.choice(KEYS)
    if rng.random() < 0.2 and key:
        at = rng.randrange(len(key))
        key = key[:at] + rng.choice("abc._09") + key[at + 1 :]
    return f"{key}={rng.choice(SCALARS)}" if rng.random() < 0.95 else key + "="
