"""indexes for long histories: the queue behind many jobs that have ended, tags and metadata"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    queued = sa.text("state = 'queued'")
    op.create_index("ix_jobs_queued", "jobs", ["id"], postgresql_where=queued, sqlite_where=queued)
    if op.get_bind().dialect.name == "postgresql":
        for column in ("tags", "metadata"):
            as_jsonb = sa.text(f"({column}::jsonb)")
            op.create_index(f"ix_jobs_{column}", "jobs", [as_jsonb], postgresql_using="gin")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_jobs_metadata", "jobs")
        op.drop_index("ix_jobs_tags", "jobs")
    op.drop_index("ix_jobs_queued", "jobs")
