"""labels and discarded objects"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from models.clock import UTCDateTime

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "discarded",
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("discarded_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_discarded")),
    )
    with op.batch_alter_table("discarded", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_discarded_discarded_at"), ["discarded_at"], unique=False)
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("tags", sa.JSON(none_as_null=True), nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("notes", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("metadata", sa.JSON(none_as_null=True), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("forked_from", sa.String(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("forked_from")
        batch_op.drop_column("metadata")
        batch_op.drop_column("notes")
        batch_op.drop_column("tags")
    op.drop_table("discarded")
