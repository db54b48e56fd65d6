"""`python -m api new-key PROJECT`: a first way in, for whoever runs the service. It talks to the database, not to the
API."""

import argparse
import sys
from collections.abc import Sequence

from models import projects
from models.database import Database
from models.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("new-key", help="print a new API key of a project, which is made if it is not there")
    command.add_argument("project", help="the project's name")
    command.add_argument("--scope", choices=sorted(projects.ALLOWS), default="admin")
    command.add_argument("--name", default="made on the server", help="what the key is for")
    options = parser.parse_args(arguments)
    sys.stdout.write(new_key(Settings(), options.project, options.name, options.scope) + "\n")
    return 0


def new_key(settings: Settings, project_name: str, name: str, scope: projects.Scope) -> str:
    """The text of a new key. Only its hash is kept."""
    database = Database(settings)
    with database.write() as session:
        project = projects.project_named(session, project_name) or projects.create_project(session, project_name)
        text = projects.create_key(session, project.id, name=name, scope=scope)[1]
    database.close()
    return text


if __name__ == "__main__":
    sys.exit(main())
