"""paused jobs"""

from collections.abc import Sequence

from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

STATES = ("queued", "starting", "running", "succeeded", "failed", "cancelled")
WISHES = ("run", "cancel")


def upgrade() -> None:
    _allow(states=(*STATES, "paused"), wishes=(*WISHES, "pause"))


def downgrade() -> None:
    op.execute("UPDATE jobs SET state = 'queued' WHERE state = 'paused'")
    op.execute("UPDATE jobs SET desired_state = 'run' WHERE desired_state = 'pause'")
    _allow(states=STATES, wishes=WISHES)


def _allow(states: Sequence[str], wishes: Sequence[str]) -> None:
    """SQLite forgets the checks of a table that is built anew; Postgres must be told to."""
    forgets = op.get_bind().dialect.name == "sqlite"
    with op.batch_alter_table("jobs", recreate="always" if forgets else "never") as batch_op:
        for column, values in (("state", states), ("desired_state", wishes)):
            if not forgets:
                batch_op.drop_constraint(op.f(f"ck_jobs_{column}"), type_="check")
            listed = ", ".join(f"'{value}'" for value in values)
            batch_op.create_check_constraint(op.f(f"ck_jobs_{column}"), f"{column} IN ({listed})")
