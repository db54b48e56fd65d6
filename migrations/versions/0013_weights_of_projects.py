"""weights of projects"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TOTAL = "SELECT sum(weights_bytes) FROM checkpoints WHERE checkpoints.project_id = projects.id"


def upgrade() -> None:
    with op.batch_alter_table("projects", schema=None) as batch_op:
        batch_op.add_column(sa.Column("weights_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(sa.text(f"UPDATE projects SET weights_bytes = coalesce(({TOTAL}), 0)"))  # noqa: S608


def downgrade() -> None:
    with op.batch_alter_table("projects", schema=None) as batch_op:
        batch_op.drop_column("weights_bytes")
