"""Requests to an S3-compatible store that carry their permission in the URL: AWS Signature Version 4, in the query.

Source: AWS, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

NONE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Signer:
    """Signs for one bucket."""

    bucket_url: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)

    def url(
        self,
        method: str,
        key: str,
        seconds: float,
        query: Mapping[str, str] = NONE,
        *,
        headers: Mapping[str, str] = NONE,
        now: datetime | None = None,
    ) -> str:
        """A URL that allows one request for a while.

        Args:
            headers: what the request has to carry, exactly so; names in small letters.
            now: the time of the signature; the clock's, unless said.
        """
        moment = f"{now or datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        url = f"{self.bucket_url}/{quote(key)}" if key else self.bucket_url
        parts = urlsplit(url)
        scope = f"{moment[:8]}/{self.region}/s3/aws4_request"
        signed = dict(sorted({"host": parts.netloc, **headers}.items()))
        asked = {
            **query,
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.access_key}/{scope}",
            "X-Amz-Date": moment,
            "X-Amz-Expires": str(int(seconds)),
            "X-Amz-SignedHeaders": ";".join(signed),
        }
        text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(asked.items()))
        lines = [f"{name}:{value}\n" for name, value in signed.items()]
        request = "\n".join([method, parts.path, text, "".join(lines), ";".join(signed), "UNSIGNED-PAYLOAD"])
        to_sign = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(request.encode()).hexdigest()])
        key_of_day = f"AWS4{self.secret_key}".encode()
        for word in scope.split("/"):
            key_of_day = _hmac(key_of_day, word)
        return f"{url}?{text}&X-Amz-Signature={_hmac(key_of_day, to_sign).hex()}"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
