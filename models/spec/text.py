"""How columns of text become inputs. Words are those of `words_of`: small letters, divided at white space and
punctuation. The vocabulary is that of the training part alone.
"""

from typing import Annotated, Literal

from pydantic import Field

from .technique import Technique

ColumnName = Annotated[str, Field(min_length=1, max_length=500)]
VocabularySize = Annotated[int, Field(ge=1, le=200_000)]


class TextForm(Technique):
    """What every form has."""

    words: VocabularySize = 10_000
    """The most frequent words of the training part; among equally frequent ones the first in alphabetical order."""
    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=100)] | None = None
    """The features that are read as text: those that the data set keeps as text unless said. A categorical column may
    be named too.
    """


class MultiHot(TextForm):
    """Multi-hot: an input for each of the most frequent words, 1 where the text holds the word and 0 where not; order
    and number do not count. Each column has inputs of its own, behind those of numbers and categories.

    Formula: x_i = 1 where the text holds the i-th most frequent word, and x_i = 0 where not.

    Reference: Maas et al. 2011, "Learning word vectors for sentiment analysis"; Chollet 2017, "Deep learning with
    Python", section 3.4.
    """

    type: Literal["multi_hot"] = "multi_hot"


class TokenSequence(TextForm):
    """A sequence of tokens, one column alone: 0 is padding, 1 any word outside of the vocabulary, 2 the most frequent
    word, 3 the next. A text without a word is one token 1. For `rnn`, `lstm`, `gru`, `transformer`, and `sequential`
    with an `embedding`; the first four do not see the padding.

    Formula: x_t = 1 + the rank of the t-th word, and x_t = 1 where it has none.

    Reference: Bengio et al. 2003, "A neural probabilistic language model".
    """

    type: Literal["tokens"] = "tokens"
    length: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Tokens of a sequence."""
    truncation: Literal["end", "start"] = "end"
    """Where a longer text is cut."""
    padding: Literal["end", "start"] = "end"
    """Where a shorter text is filled up with 0."""


Text = Annotated[MultiHot | TokenSequence, Field(discriminator="type")]
