"""Migrations that make indexes which were advised."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from django.apps import apps
from django.db import connections
from django.db.migrations import AddIndex, Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.writer import MigrationWriter
from django.db.models import Index, Q
from django.db.models.functions import Lower

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from apsperf_mw.advice.advising import Proposal

LOWERED = re.compile(r"lower\((.*)\)")
CLASS = "class Migration(migrations.Migration):\n"
WHERE = re.compile(r"\"?(\w+)\"? (IS NULL|= (.*))")


class Unknown(Exception):
    """There is no such app; the message names it."""


class Written(NamedTuple):
    """The file of a migration, and its indexes as a model's Meta has them."""

    path: Path
    indexes: list[tuple[str, str]]


def write(proposals: Iterable[Proposal], app: str, alias: str) -> Written | None:
    """Write what concerns the app's models; None where nothing does. `Unknown` for no app."""
    try:
        config = apps.get_app_config(app)
    except LookupError as error:
        raise Unknown(str(error)) from None
    models = {model._meta.db_table.lower(): model for model in config.get_models()}
    made = [
        (models[each.table], index)
        for each in proposals
        if each.table in models
        for index in index_of(each, models[each.table])
    ]
    if not made:
        return None
    migration = migration_of(app, made, alias)
    writer = MigrationWriter(migration)
    path = Path(writer.path)
    text = writer.as_string()
    if not migration.atomic:  # which the writer leaves out
        text = text.replace(CLASS, f"{CLASS}\n    atomic = False\n", 1)
    path.write_text(text, "utf-8")
    return Written(path, [(model.__name__, shown(index)) for model, index in made])


def migration_of(app: str, made: list[tuple[Any, Index]], alias: str) -> Any:
    """The next migration of the app; PostgreSQL makes its indexes beside the app's work."""
    loader = MigrationLoader(connections[alias], ignore_no_migrations=True)
    leaves = loader.graph.leaf_nodes(app)
    numbers = [re.match(r"\d+", name) for _, name in leaves]
    last = max((int(found[0]) for found in numbers if found), default=0)
    concurrently = connections[alias].vendor == "postgresql"
    kind = operation(concurrently=concurrently)
    made_of = type(
        "Migration",
        (Migration,),
        {
            "dependencies": leaves,
            "operations": [kind(model._meta.model_name, index) for model, index in made],
            "atomic": not concurrently,
        },
    )
    return made_of(f"{last + 1:04d}_advised_indexes", app)


def operation(*, concurrently: bool) -> Any:
    """What adds an index."""
    if not concurrently:
        return AddIndex
    from django.contrib.postgres.operations import AddIndexConcurrently

    return AddIndexConcurrently


def index_of(proposal: Proposal, model: Any) -> Iterator[Index]:
    """The index as Django has it; nothing where one of its columns is none of the model's."""
    fields = {field.column.lower(): field.name for field in model._meta.concrete_fields}
    lowered = [LOWERED.fullmatch(column) for column in proposal.columns]
    plain = [
        (found[1].strip('"') if found else column).lower()
        for found, column in zip(lowered, proposal.columns, strict=True)
    ]
    include = [column.lower() for column in proposal.include]
    if not {*plain, *include}.issubset(fields):
        return
    options: dict[str, Any] = {"name": short(proposal.name)}
    if include:
        options["include"] = [fields[column] for column in include]
    if proposal.where:
        options["condition"] = condition_of(proposal.where, fields)
        if options["condition"] is None:
            return
    if any(lowered):
        yield Index(*[Lower(fields[column]) for column in plain], **options)
        return
    if proposal.kind:
        options["opclasses"] = [proposal.kind] * len(plain)
    signs = ["-" if column in proposal.descending else "" for column in proposal.columns]
    names = [sign + fields[column] for sign, column in zip(signs, plain, strict=True)]
    yield Index(fields=names, **options)


def condition_of(where: str, fields: dict[str, str]) -> Q | None:
    """The rows of a partial index."""
    found = WHERE.fullmatch(where)
    name = None if found is None else fields.get(found[1].lower())
    if found is None or name is None:
        return None
    if found[3] is None:
        return Q(**{f"{name}__isnull": True})
    text = found[3]
    value: Any = text[1:-1].replace("''", "'") if text.startswith("'") else _plain(text)
    return Q(**{name: value})


def _plain(text: str) -> Any:
    words = {"TRUE": True, "FALSE": False}
    return words[text] if text in words else (float(text) if "." in text else int(text))


def short(name: str) -> str:
    """A name that is not too long for Django."""
    most = Index.max_name_length
    return name if len(name) <= most else f"{name[: most - 9]}_{crc32(name.encode()):08x}"


def shown(index: Index) -> str:
    """The index as it is typed."""
    _, args, options = index.deconstruct()
    parts = [repr(each) for each in args]
    parts += [f"{name}={value!r}" for name, value in options.items()]
    return f"models.Index({', '.join(parts)})"
