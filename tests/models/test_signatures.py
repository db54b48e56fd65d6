"""Signatures of requests to S3."""

from datetime import UTC, datetime

from models.signatures import Signer


def test_the_example_of_the_specification_is_signed_as_it_says() -> None:
    """AWS, "Authenticating Requests: Using Query Parameters", its example of a GET."""
    signer = Signer(
        "https://examplebucket.s3.amazonaws.com",
        "us-east-1",
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    )
    url = signer.url("GET", "test.txt", 86400, now=datetime(2013, 5, 24, tzinfo=UTC))
    assert url.endswith("X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")
