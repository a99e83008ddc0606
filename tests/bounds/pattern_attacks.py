"""Find texts on which a regular expression takes more than linear time: `python -I FILE FLAGS HOW`.

The pattern is read from standard input; HOW is a method of it, such as `search`. Prints the attack
that grew faster than its text, or nothing. Texts are made from the pattern itself: what leads to
each of its repetitions, then that repetition's own characters again and again, then what cannot
follow.
"""

import re
import sys
import time
from re import _constants as c
from re import _parser

SHORT, LONG = 4_000, 16_000
# Reading the long text ten times as long as a linear pattern does is worth a second look.
WORTH_A_LOOK_S = 0.001
# Four times the text: a linear pattern takes 4 times as long, a quadratic one 16 times.
GROWTH = 9
ENDINGS = ("", "\x01", "!\n\x01")
COMMON = "a0 -._/@:<>=\n\t!'\"({[*~A;,é\x00"
REPEATS = (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT)


def characters(item):
    """Some characters that one item of a pattern matches."""
    kind, of = item
    if kind is c.LITERAL:
        return [chr(of)]
    matching = re.compile(_text_of(item), re.DOTALL)
    found = [each for each in COMMON if matching.fullmatch(each)]
    return found[:6] or [chr(of[0][1])] if kind is c.IN and of[0][0] is c.LITERAL else found[:6]


def _text_of(item):
    kind, of = item
    if kind is c.ANY:
        return "[^\n]"
    if kind is c.NOT_LITERAL:
        return f"[^{re.escape(chr(of))}]"
    parts = {c.CATEGORY_DIGIT: r"\d", c.CATEGORY_NOT_DIGIT: r"\D", c.CATEGORY_SPACE: r"\s"}
    parts |= {c.CATEGORY_NOT_SPACE: r"\S", c.CATEGORY_WORD: r"\w", c.CATEGORY_NOT_WORD: r"\W"}
    text = ""
    for part, value in of:
        if part is c.NEGATE:
            text += "^"
        elif part is c.LITERAL:
            text += re.escape(chr(value))
        elif part is c.RANGE:
            text += "-".join(re.escape(chr(each)) for each in value)
        else:
            text += parts[value]
    return f"[{text}]"


def sample(items):
    """A text that these items match, as a rule."""
    return "".join(map(_sample, items))


def _sample(item):
    kind, of = item
    if kind in (c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN):
        return "".join(characters(item)[:1])
    if kind in REPEATS:
        return sample(of[2]) * max(of[0], 1)
    inner = {c.SUBPATTERN: lambda: of[3], c.ATOMIC_GROUP: lambda: of, c.BRANCH: lambda: of[1][0]}
    return sample(inner[kind]()) if kind in inner else ""


def pumps(items, before=""):
    """Pairs of what leads to a place in the pattern, and what is repeated there."""
    for item in items:
        kind, of = item
        if kind in REPEATS:
            for each in characters(of[2][0]) if _is_a_class(of[2]) else ():
                yield before, each
            yield before, sample(of[2])
            yield from pumps(of[2], before)
        elif kind is c.SUBPATTERN:
            yield from pumps(of[3], before)
        elif kind is c.BRANCH:
            for branch in of[1]:
                yield before, sample(branch)
                yield from pumps(branch, before)
        elif kind in (c.ASSERT, c.ASSERT_NOT):
            yield from pumps(of[1], before)
        before += _sample(item)
        # The same beginning again and again: a search begins anew at each of them.
        yield "", before


def _is_a_class(items):
    return len(items) == 1 and items[0][0] in (c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN)


def attacks(pattern):
    found = {*pumps(list(_parser.parse(pattern.pattern, pattern.flags)))}
    found |= {("", each) for each in " \n\ta0<(/"}
    return [(before, pump, ending) for before, pump in sorted(found) if pump for ending in ENDINGS]


def seconds(method, attack, size, tries):
    before, pump, ending = attack
    text = before + pump * (size // len(pump)) + ending
    measured = []
    for _ in range(tries):
        began = time.process_time()
        method(text)
        measured.append(time.process_time() - began)
    return min(measured)


def grows_faster_than_its_text(method, attack):
    if seconds(method, attack, LONG, 1) < WORTH_A_LOOK_S:
        return False
    # Three times, since somebody else may use the processor meanwhile.
    return all(
        seconds(method, attack, LONG, 1) > GROWTH * seconds(method, attack, SHORT, 7)
        for _ in range(3)
    )


if __name__ == "__main__":
    searched = re.compile(sys.stdin.read(), int(sys.argv[1]))
    how = getattr(searched, sys.argv[2])
    for each in attacks(searched):
        if grows_faster_than_its_text(how, each):
            print(repr(each))
            break
