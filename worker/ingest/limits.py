"""What an upload may ask of the machine that reads it."""

from dataclasses import dataclass

KIB, MIB, GIB = 2**10, 2**20, 2**30


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound that is enforced while an upload is read; sizes in bytes, times in seconds."""

    upload_bytes: int = 20 * GIB
    packed_bytes: int = 64 * GIB
    """All that is written, spooled archives included."""
    ratio: int = 200
    """Bytes produced, by unpacking or by decoding, for each byte of the upload."""
    slack: int = 256 * MIB
    """Bytes that any upload may unfold to, whatever the ratio: one plain picture of 50 megapixels fits."""

    entries: int = 200_000
    entry_bytes: int = 64 * MIB
    image_pixels: int = 50_000_000
    image_memory: int = 360 * MIB
    """What one image may need while it is decoded."""
    damaged_share: float = 0.05
    """Images that may be left out because they are damaged; one more refuses the upload."""

    examples: int = 10_000_000
    classes: int = 65_536

    columns: int = 10_000
    cell_bytes: int = 64 * KIB
    row_bytes: int = 8 * MIB
    categories: int = 1_000
    category_characters: int = 256
    categories_total: int = 200_000
    """Over all the columns of one table."""
    vocabulary: int = 500_000
    """Different words, over all the columns of one table."""

    memory_bytes: int = 480 * MIB
    """Private memory of the decoding process, which holds its resident size under 512 MiB."""
    cpu_seconds: int = 7_200
    wall_seconds: float = 7_200.0


DEFAULT_LIMITS = Limits()
