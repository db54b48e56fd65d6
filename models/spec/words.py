"""How text becomes words and words become numbers, at ingest, in training, and for whoever uses the weights."""

SEPARATORS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
"""What stands between words besides white space, as by default in Keras's `Tokenizer`. An apostrophe is a letter."""
LONGEST_WORD = 64
"""Letters of a word that count."""

PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2
"""Tokens: nothing at all, any word that is not in the vocabulary, the vocabulary's first word."""

_BLANK = str.maketrans(dict.fromkeys(SEPARATORS, " "))


def words_of(text: str) -> list[str]:
    """The words of a text in order, in small letters: "It's GOOD, very good!" → it's, good, very, good."""
    return [word[:LONGEST_WORD] for word in text.lower().translate(_BLANK).split()]
