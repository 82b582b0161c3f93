"""Puts the text of a script into Python: as much of Lua as the scripts of the bus use, and nothing else.

What is not known here is a SyntaxError, and never something else than Lua would do.
"""

import re
from collections.abc import Callable

_TOKEN = re.compile(
    r"(?P<space>\s+|--[^\n]*)|(?P<text>'[^'\\]*')|(?P<number>\d+)|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)"
    r"|(?P<sign>==|~=|<=|>=|\.\.|[-+*/<>=#(){}\[\],])"
)
_WORDS = {"and", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
          "return", "then", "true"}  # fmt: skip
# How strongly each binds, and in what it becomes.
_BINDS = {"or": 1, "and": 2, "<": 3, ">": 3, "<=": 3, ">=": 3, "~=": 3, "==": 3, "..": 4, "+": 5, "-": 5, "*": 6,
          "/": 6}  # fmt: skip
_COMPARED = {"<": "<", ">": ">", "<=": "<=", ">=": ">=", "~=": "!=", "==": "=="}
_UNARY = 7


class Parser:
    """Turns the text of a script into lines of Python."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        self._lines: list[str] = []
        # Its first line may say how Redis is to run it, and is no Lua.
        at = text.index("\n") if text.startswith("#!") else 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise SyntaxError(f"not known here: {text[at : at + 20]!r}")
            if match.lastgroup != "space":
                self._tokens.append(match[0])
            at = match.end()
        self._tokens.reverse()

    def python(self) -> str:
        self._block(1)
        if self._tokens:
            raise SyntaxError(f"not known here: {self._tokens[-1]!r}")
        return "\n".join(["def script(KEYS, ARGV):", *self._lines])

    # Tokens.

    @property
    def _next(self) -> str:
        return self._tokens[-1] if self._tokens else ""

    def _take(self, expected: str | None = None) -> str:
        token = self._tokens.pop()
        if expected is not None and token != expected:
            raise SyntaxError(f"{expected!r} expected, not {token!r}")
        return token

    def _takes(self, token: str) -> bool:
        if self._next == token:
            self._tokens.pop()
            return True
        return False

    def _name(self) -> str:
        token = self._take()
        if token in _WORDS or not (token[0].isalpha() or token[0] == "_"):
            raise SyntaxError(f"a name expected, not {token!r}")
        return token if token in {"KEYS", "ARGV"} else "l_" + token.replace(".", "_")

    # Statements.

    def _block(self, depth: int) -> None:
        before = len(self._lines)
        while self._next not in {"", "end", "else", "elseif"}:
            self._statement(depth)
        if len(self._lines) == before:
            self._say(depth, "pass")

    def _say(self, depth: int, line: str) -> None:
        self._lines.append("    " * depth + line)

    def _statement(self, depth: int) -> None:
        if self._takes("local"):
            if self._takes("function"):
                self._function(depth)
            else:
                names = self._listed(self._name)
                self._take("=")
                self._assign(depth, names)
        elif self._takes("if"):
            self._condition(depth)
        elif self._takes("for"):
            self._loop(depth)
        elif self._takes("return"):
            self._say(depth, f"return {self._expression()}")
        else:
            name = self._name()
            if self._takes("="):
                self._assign(depth, [name])
            else:
                self._say(depth, self._call(name))

    def _assign(self, depth: int, names: list[str]) -> None:
        values = self._listed(self._expression)
        if len(values) != len(names):
            raise SyntaxError(f"as many values as names expected for {names}")
        self._say(depth, f"{', '.join(names)} = {', '.join(values)}")

    def _function(self, depth: int) -> None:
        name = self._name()
        self._take("(")
        names = [] if self._next == ")" else self._listed(self._name)
        self._say(depth, f"def {name}({', '.join(names)}):")
        self._take(")")
        self._block(depth + 1)
        self._take("end")

    def _condition(self, depth: int) -> None:
        self._say(depth, f"if true({self._expression()}):")
        self._take("then")
        self._block(depth + 1)
        while self._takes("elseif"):
            self._say(depth, f"elif true({self._expression()}):")
            self._take("then")
            self._block(depth + 1)
        if self._takes("else"):
            self._say(depth, "else:")
            self._block(depth + 1)
        self._take("end")

    def _loop(self, depth: int) -> None:
        names = self._listed(self._name)
        self._take("in")
        self._take("ipairs")
        self._take("(")
        self._say(depth, f"for {', '.join(names)} in ipairs({self._expression()}):")
        self._take(")")
        self._take("do")
        self._block(depth + 1)
        self._take("end")

    # Expressions.

    def _listed(self, one: Callable[[], str]) -> list[str]:
        found = [one()]
        while self._takes(","):
            found.append(one())
        return found

    def _expression(self, least: int = 0) -> str:
        left = self._unary()
        while _BINDS.get(self._next, -1) > least:
            sign = self._take()
            # The only one of them that binds to the right.
            right = self._expression(_BINDS[sign] - (sign == ".."))
            left = self._joined(left, sign, right)
        return left

    @staticmethod
    def _joined(left: str, sign: str, right: str) -> str:
        match sign:
            case "or" | "and":
                return f"either_{sign}({left}, lambda: {right})"
            case "..":
                return f"(joined({left}) + joined({right}))"
            case "+" | "-" | "*" | "/":
                return f"(number({left}) {sign} number({right}))"
            case _:
                return f"({left} {_COMPARED[sign]} {right})"

    def _unary(self) -> str:
        if self._takes("not"):
            return f"(not true({self._expression(_UNARY)}))"
        if self._takes("#"):
            return f"float(len({self._expression(_UNARY)}))"
        if self._takes("-"):
            return f"(-number({self._expression(_UNARY)}))"
        return self._simple()

    def _simple(self) -> str:
        if self._takes("("):
            inner = self._expression()
            self._take(")")
            return f"({inner})"
        if self._takes("{"):
            values = [] if self._next == "}" else self._listed(self._expression)
            self._take("}")
            return f"[{', '.join(values)}]"
        token = self._next
        if token[0] == "'":
            return repr(self._take()[1:-1].encode())
        if token.isdigit():
            return f"{self._take()}.0"
        if token in {"nil", "true", "false"}:
            return {"nil": "None", "true": "True", "false": "False"}[self._take()]
        return self._call(self._name())

    def _call(self, name: str) -> str:
        while True:
            if self._takes("["):
                name = f"at({name}, {self._expression()})"
                self._take("]")
            elif self._takes("("):
                values = [] if self._next == ")" else self._listed(self._expression)
                self._take(")")
                name = f"{name}({', '.join(values)})"
            else:
                return name
