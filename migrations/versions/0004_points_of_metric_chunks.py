"""points of metric chunks"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

COUNTS = {
    "postgresql": "json_array_length(columns -> 'columns' -> 'step')",
    "sqlite": "json_array_length(columns, '$.columns.step')",
}


def upgrade() -> None:
    with op.batch_alter_table("metric_chunks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("points", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(sa.text(f"UPDATE metric_chunks SET points = {COUNTS[op.get_bind().dialect.name]}"))  # noqa: S608


def downgrade() -> None:
    with op.batch_alter_table("metric_chunks", schema=None) as batch_op:
        batch_op.drop_column("points")
