"""held checkpoints"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "held_checkpoints",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("checkpoint_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoints.id"], name=op.f("fk_held_checkpoints_checkpoint_id_checkpoints")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_held_checkpoints_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_held_checkpoints")),
    )
    with op.batch_alter_table("held_checkpoints", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_held_checkpoints_checkpoint_id"), ["checkpoint_id"], unique=False)


def downgrade() -> None:
    op.drop_table("held_checkpoints")
