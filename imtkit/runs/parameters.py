"""The parameters a runbook declares, and the values it is given.

A declaration is a plain assignment in the cell tagged ``parameters``::

    url: str = ...  # address to probe; it must be given
    count: int = 20  # requests to make
    environment: Literal["prod", "stage"] = "prod"  # where to look

Nothing of it is executed to be read. Values travel to the notebook as data: names that are
not declared are refused, because papermill would execute them as code.
"""

from __future__ import annotations

import ast
import io
import json
import keyword
import re
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imtkit.errors import ParameterError, suggestion

_PLAIN = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}
_WORDS = {"true": True, "yes": True, "on": True, "1": True}
_NO_WORDS = {"false": False, "no": False, "off": False, "0": False}
_PASSWORD = re.compile(r"://[^/\s:@]*:[^/\s@]+@|\bpassword\s*=\s*\S", re.IGNORECASE)
_LARGEST = 1_000_000
"""Bytes of JSON that one value may take; more belongs in a file that the runbook reads."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One declared parameter. ``type`` is as written: ``int``, ``str | None``, ``Literal[…]``.

    ``choices`` are a Literal's values; ``is_required`` means that it has no default.
    """

    name: str
    type: str
    default: Any = None
    help: str = ""
    choices: tuple[Any, ...] = ()
    is_required: bool = False


def parameters_from_source(source: str) -> tuple[Parameter, ...]:
    """The parameters that a cell declares, in order; ParameterError when it is not Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise ParameterError(
            f"The parameters cell is not Python: {error.msg} in line {error.lineno}."
        ) from error
    comments = _comments(source)
    found = []
    for node in tree.body:
        parameter = _declared(node, comments.get(node.end_lineno or node.lineno, ""))
        if parameter is not None:
            found.append(parameter)
    return tuple(found)


def _declared(node: ast.stmt, comment: str) -> Parameter | None:
    match node:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
            type_, choices = ast.unparse(annotation), _choices(annotation)
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            type_, choices = "", ()
        case _:
            return None
    if value is None or (isinstance(value, ast.Constant) and value.value is ...):
        # Papermill takes only an assignment for a declaration, so '= ...' stands for "none".
        return Parameter(name, type_, None, comment, choices, is_required=True)
    try:
        default = ast.literal_eval(value)
    except ValueError:
        return Parameter(name, type_, None, comment, choices)
    return Parameter(name, type_ or _inferred(default), default, comment, choices)


def _inferred(default: object) -> str:
    name = type(default).__name__
    return name if name in _PLAIN else ""


def _choices(annotation: ast.expr) -> tuple[Any, ...]:
    for node in ast.walk(annotation):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("Literal"):
            try:
                value = ast.literal_eval(node.slice)
            except ValueError:
                return ()
            return value if isinstance(value, tuple) else (value,)
    return ()


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def checked_values(
    declared: Sequence[Parameter], given: Mapping[str, Any], *, runbook: str
) -> dict[str, Any]:
    """The values to run with, each of its parameter's type; texts are read as that type.

    ParameterError names what is unknown (and the nearest right name), of the wrong type, or
    missing.
    """
    known = {parameter.name: parameter for parameter in declared}
    for name in given:
        if name not in known:
            if not known:
                raise ParameterError(
                    f"Runbook '{runbook}' takes no parameters, so '{name}' cannot be given.",
                    hint="Tag the cell that declares them 'parameters'.",
                )
            raise ParameterError(
                f"Runbook '{runbook}' has no parameter '{name}'.", hint=suggestion(name, known)
            )
    missing = [p.name for p in declared if p.is_required and p.name not in given]
    if missing:
        raise ParameterError(
            f"Runbook '{runbook}' needs {', '.join(missing)}.",
            hint=" ".join(f"-p {name}=…" for name in missing),
        )
    return {name: _value(known[name], value, runbook) for name, value in given.items()}


def _value(parameter: Parameter, given: object, runbook: str) -> object:
    if not parameter.name.isascii() or keyword.iskeyword(parameter.name):
        raise ParameterError(f"'{parameter.name}' is not a name a parameter may have.")
    value = _read(parameter, given) if isinstance(given, str) else given
    wanted = f"Parameter '{parameter.name}' of '{runbook}' takes"
    if parameter.choices:
        if value not in parameter.choices:
            names = [str(choice) for choice in parameter.choices]
            raise ParameterError(
                f"{wanted} one of {', '.join(names)}; got {given!r}.",
                hint=suggestion(str(given), names),
            )
    elif not _fits(parameter.type, value):
        raise ParameterError(f"{wanted} {_in_words(parameter.type)}; got {given!r}.")
    if isinstance(value, int) and not isinstance(value, bool) and parameter.type == "float":
        value = float(value)
    if isinstance(value, str) and _PASSWORD.search(value):
        raise ParameterError(
            f"Parameter '{parameter.name}' of '{runbook}' carries a password, which would stand "
            "in the log and the notebook for ever.",
            hint="Leave it out: PGPASSWORD, ~/.pgpass or a file the runbook reads can hold it.",
        )
    _check_json(value, wanted)
    return value


def _read(parameter: Parameter, text: str) -> object:
    """A text as the parameter's type; the text itself when it cannot be read so."""
    for choice in parameter.choices:
        if str(choice) == text:
            return choice
    names = _type_names(parameter.type)
    if "None" in names and text.lower() in ("none", "null"):
        return None
    if not names or "str" in names:
        return text
    if "bool" in names and text.lower() in _WORDS | _NO_WORDS:
        return text.lower() in _WORDS
    try:
        return json.loads(text)
    except ValueError:
        return text


def _type_names(type_: str) -> set[str]:
    parts = (part.strip() for part in type_.replace("Optional[", "None | ").split("|"))
    return {part.partition("[")[0].rstrip("]") for part in parts if part}


def _fits(type_: str, value: object) -> bool:
    names = _type_names(type_)
    kinds = {_PLAIN[name] for name in names if name in _PLAIN}
    if not kinds:
        return True
    if value is None:
        return "None" in names
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, int) and float in kinds:
        return True
    return isinstance(value, tuple(kinds))


def _in_words(type_: str) -> str:
    words = {
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "str": "a text",
        "list": "a list, as JSON",
        "dict": "a table, as JSON",
        "None": "none",
    }
    return " or ".join(words.get(name, name) for name in sorted(_type_names(type_)))


def _check_json(value: object, wanted: str) -> None:
    try:
        size = len(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{wanted} what JSON can hold: {error}.") from error
    if size > _LARGEST:
        raise ParameterError(
            f"{wanted} at most {_LARGEST:,} bytes; got {size:,}.",
            hint="Put it in a file and give the file's path.",
        )
