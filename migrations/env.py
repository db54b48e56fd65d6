"""Alembic's entry: `alembic upgrade head` brings the database that the settings name up to date."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection

from models.clock import UTCDateTime
from models.database import Database
from models.settings import Settings
from models.tables import Table


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=True,
        render_item=render_item,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def render_item(type_: str, item: Any, autogen_context: AutogenContext) -> str | Literal[False]:
    if type_ == "type" and isinstance(item, UTCDateTime):
        autogen_context.imports.add("from models.clock import UTCDateTime")
        return "UTCDateTime()"
    return False


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    database = Database(Settings())
    with database.rebuild() as own:
        migrate(own)
    database.close()
