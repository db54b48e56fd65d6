"""`Idempotency-Key`: a request that is sent again gets the answer of the first time, and does nothing twice.

The key is taken in the transaction of the work: they are there together or not at all. An answer that is an error ends
that transaction, so it is not kept.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from api.bodies import JsonBody
from api.dependencies import DatabaseDep
from models import idempotency
from models.database import Database, Session
from models.failpoints import reach
from models.idempotency import Reply
from models.projects import Caller


def canonical_json(value: object) -> str:
    """Equal values have equal text: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class Done:
    """What came of a request."""

    reply: Reply
    kept: Reply
    """What a replay answers: the same, but for secrets, which are told once."""
    after_commit: Callable[[], None] | None = None


@dataclass(frozen=True)
class Once:
    """Does the work of a request once, however often it is sent."""

    database: Database
    key: str | None
    fingerprint: str

    def do(self, caller: Caller, work: Callable[[Session], Done]) -> Response:
        with self.database.write() as session:
            earlier = self._take(session, caller)
            if earlier is not None:
                return _response(earlier, {"Idempotent-Replayed": "true"})
            done = work(session)
            if self.key is not None:
                idempotency.answer(session, caller.key_id, self.key, done.kept)
            session.flush()
            reach("post.before_commit")
        reach("post.after_commit")
        if done.after_commit is not None:
            done.after_commit()
        reach("post.after_ring")
        return _response(done.reply)

    def _take(self, session: Session, caller: Caller) -> Reply | None:
        if self.key is None:
            return None
        return idempotency.take(session, caller.key_id, self.key, self.fingerprint)


Key = Annotated[
    str | None,
    Header(
        pattern=r'^("[!-~]{1,255}"|[!#-~][!-~]{0,254})$',
        description="Send the same key again and the work is done once; kept for a day.",
    ),
]


async def once(request: Request, body: JsonBody, database: DatabaseDep, idempotency_key: Key = None) -> Once:
    return _once(request, body, database, idempotency_key)


async def once_without_body(request: Request, database: DatabaseDep, idempotency_key: Key = None) -> Once:
    return _once(request, None, database, idempotency_key)


def _once(request: Request, body: object, database: Database, key: str | None) -> Once:
    sent = canonical_json([request.method, request.url.path, body])
    fingerprint = hashlib.sha256(sent.encode()).hexdigest()
    return Once(database, None if key is None else _bare(key), fingerprint)


OnceDep = Annotated[Once, Depends(once)]
OnceWithoutBodyDep = Annotated[Once, Depends(once_without_body)]


def created(
    body: BaseModel, location: str, *, kept: BaseModel | None = None, after_commit: Callable[[], None] | None = None
) -> Done:
    """201, and where the new thing is."""
    headers = {"Location": location}
    reply = Reply(201, headers, body.model_dump(mode="json"))
    kept_reply = reply if kept is None else Reply(201, headers, kept.model_dump(mode="json"))
    return Done(reply, kept_reply, after_commit)


def accepted(body: BaseModel, *, location: str | None = None, after_commit: Callable[[], None] | None = None) -> Done:
    """202: what was asked for will be done."""
    headers = {} if location is None else {"Location": location}
    reply = Reply(202, headers, body.model_dump(mode="json"))
    return Done(reply, reply, after_commit)


def _bare(key: str) -> str:
    """The draft standard quotes the key; most clients do not."""
    return key[1:-1] if len(key) > 2 and key[0] == key[-1] == '"' else key


def _response(reply: Reply, headers: dict[str, str] | None = None) -> Response:
    body = json.dumps(reply.body, ensure_ascii=False, separators=(",", ":"))
    return Response(body, reply.status, {**reply.headers, **(headers or {})}, "application/json")
