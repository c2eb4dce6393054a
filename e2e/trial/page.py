"""Turns a page of Markdown into a Bash script that does what the page says, and judges what comes of it.

Blocks of `sh` run one behind the other in one shell. Another block is a file where the line before it ends with the file's name
and a colon. A block of `text` behind one of `sh` is what its commands print: each of its lines is a line of the output, in this
order, with others between them; `…` stands for anything. Commands without one must succeed.

    page.py PAGE [SECTION]
"""
import re
import shlex
import sys


def blocks(page, section):
    """Yields the heading, the line before, the kind and the text of each fenced block of a section, or of all."""
    heading, before, kind, lines = "", "", None, []
    for line in page.splitlines():
        if line.startswith("```") and kind is None:
            kind, lines = line.strip("`"), []
        elif line.startswith("```"):
            if section in (None, heading):
                yield heading, before, kind, "".join(f"{line}\n" for line in lines)
            kind = None
        elif kind is not None:
            lines.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")
        if kind is None and line.strip():
            before = line


def script(page, section):
    """Returns the script."""
    parts = ["printed=$(mktemp)", "trap 'kill $(jobs -p) 2>/dev/null; rm -f \"$printed\"' EXIT", "trap 'exit 143' TERM INT HUP", PRELUDE]
    found = list(blocks(page, section))
    for number, (heading, before, kind, text) in enumerate(found):
        file = re.search(r"`([^`]+)`:$", before)
        if kind == "sh":
            follows = found[number + 1][2] if number + 1 < len(found) else None
            parts.append(f"begin {shlex.quote(heading)}")
            # In this shell, whose variables and jobs the next block needs.
            parts.append(f"{{\n{text}}} >\"$printed\" 2>&1" + ("" if follows == "text" else " || fail"))
        elif kind == "text":
            parts.append(f"expect {shlex.quote(text)}")
        elif file:
            parts.append(f"cat >{shlex.quote(file[1])} <<'END OF FILE'\n{text}END OF FILE")
    return "\n".join([*parts, "end", ""])


PRELUDE = r"""
section='' started=$SECONDS
begin() { [ "$section" = "$1" ] || { end; section=$1 started=$SECONDS; }; }
end() { [ -z "$section" ] || printf '%4d s  %s\n' $((SECONDS - started)) "$section"; }
fail() { printf '%s: %s\n' "$section" "${1:-a command failed}" >&2; cat "$printed" >&2; exit 1; }
expect() { python3 -c "$judge" "$1" "$printed" || fail 'this is what was printed'; }
judge='
import re, sys
lines = iter(open(sys.argv[2], encoding="utf-8", errors="replace").read().splitlines())
for expected in sys.argv[1].splitlines():
    pattern = ".*".join(re.escape(part) for part in expected.split("…"))
    if not any(re.fullmatch(pattern, line) for line in lines):
        sys.exit(f"nothing that was printed reads: {expected}")
'
"""

if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as page:
        sys.stdout.write(script(page.read(), sys.argv[2] if len(sys.argv) > 2 else None))
