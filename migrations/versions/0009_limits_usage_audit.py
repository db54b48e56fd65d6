"""limits, usage, audit"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from models.clock import UTCDateTime

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LIMITS = ("active_jobs", "running_jobs", "storage_bytes", "requests_per_minute")


def upgrade() -> None:
    with op.batch_alter_table("projects", schema=None) as batch_op:
        batch_op.add_column(sa.Column("founder_id", sa.String(), nullable=True))
        for name in LIMITS:
            batch_op.add_column(sa.Column(name, sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("served_at", UTCDateTime(), nullable=True))
        batch_op.create_foreign_key(op.f("fk_projects_founder_id_projects"), "projects", ["founder_id"], ["id"])
        batch_op.create_index(batch_op.f("ix_projects_founder_id"), ["founder_id"], unique=False)
    with op.batch_alter_table("datasets", schema=None) as batch_op:
        batch_op.add_column(sa.Column("packed_bytes", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("not_before", UTCDateTime(), nullable=True))
    op.create_table(
        "usage",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("device_seconds", sa.Double(), nullable=False),
        sa.Column("peak_storage_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_usage_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "month", name=op.f("pk_usage")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_audit_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index("ix_audit_project_id_id", ["project_id", "id"], unique=False)


def downgrade() -> None:
    op.drop_table("audit")
    op.drop_table("usage")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("not_before")
    with op.batch_alter_table("datasets", schema=None) as batch_op:
        batch_op.drop_column("packed_bytes")
    with op.batch_alter_table("projects", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_projects_founder_id"))
        batch_op.drop_constraint(op.f("fk_projects_founder_id_projects"), type_="foreignkey")
        for name in ("founder_id", *LIMITS, "served_at"):
            batch_op.drop_column(name)
